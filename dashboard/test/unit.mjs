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
// Beside the packages: what stays outside of the bundle is found from there.
const out = await mkdtemp(path.join(folder, '../../node_modules/.tests-'))
try {
  await build({
    ...common,
    entryPoints: wanted.map((name) => path.join(folder, name)),
    outdir: out,
    outExtension: { '.js': '.mjs' },
    platform: 'node',
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
    sourcemap: 'inline',
  })
  const files = wanted.map((name) => path.join(out, name.replace(/\.ts$/, '.mjs')))
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], { stdio: 'inherit', env: { ...process.env, TZ: 'Europe/Berlin' } })
  process.exitCode = status ?? 1
} finally {
  await rm(out, { recursive: true })
}
