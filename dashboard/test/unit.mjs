// Bundles the unit tests and gives them to Node's own runner.
//
// usage: node test/unit.mjs [PART OF A FILE'S NAME]
import { build } from 'esbuild'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { common } from '../build/build.mjs'

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), 'unit')
const wanted = (await readdir(folder)).filter((name) => name.endsWith('.test.ts') && name.includes(process.argv[2] ?? ''))
// What the bundles begin with: a `require` for packages that want one, and what
// Debian 12's Node.js 18 has under another name.
const banner = `import { createRequire as __createRequire } from 'node:module'
import { webcrypto as __webcrypto } from 'node:crypto'
const require = __createRequire(import.meta.url)
if (!('crypto' in globalThis)) Object.defineProperty(globalThis, 'crypto', { value: __webcrypto })
`
// Beside the packages: what stays outside of the bundle is found from there.
const out = await mkdtemp(path.join(folder, '../../node_modules/.tests-'))
try {
  await build({
    ...common,
    entryPoints: wanted.map((name) => path.join(folder, name)),
    outdir: out,
    outExtension: { '.js': '.mjs' },
    platform: 'node',
    banner: { js: banner },
    sourcemap: 'inline',
  })
  const files = wanted.map((name) => path.join(out, name.replace(/\.ts$/, '.mjs')))
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', '--test-reporter=spec', ...files], { stdio: 'inherit', env: { ...process.env, TZ: 'Europe/Berlin' } })
  process.exitCode = status ?? 1
} finally {
  await rm(out, { recursive: true })
}
