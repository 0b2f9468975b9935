// Builds dist/ from src/: one script, one style sheet, the page itself.
// Reproducible: the same sources and the locked packages give the same bytes.
//
// usage: node build/build.mjs [--check]
//   --check   builds beside dist/ and fails if the committed dist/ differs

import { build } from 'esbuild'
import { createRequire } from 'node:module'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const dist = path.join(root, 'dist')

/** What mqtt-packet asks for and a browser does not have, or need not load. */
const browserParts = {
  name: 'browser-parts',
  setup(build) {
    const stand = (file) => ({ path: path.join(root, 'build', file) })
    build.onResolve({ filter: /^debug$/ }, () => stand('no-debug.cjs'))
    build.onResolve({ filter: /^process-nextick-args$/ }, () => stand('next-tick.cjs'))
    // The list of buffers alone, without the stream around it (75 kB).
    build.onResolve({ filter: /^bl$/ }, (args) => {
      const index = createRequire(args.importer).resolve('bl')
      return { path: path.join(path.dirname(index), 'BufferList.js') }
    })
  },
}

/** Options that the page and its unit tests are built with alike. */
export const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  charset: 'utf8',
  logLevel: 'warning',
  plugins: [browserParts],
}

async function buildTo(folder) {
  await mkdir(folder, { recursive: true })
  const result = await build({
    ...common,
    entryPoints: { app: 'src/main.ts', style: 'src/style/style.css' },
    outdir: folder,
    minify: true,
    platform: 'browser',
    target: ['chrome111', 'firefox113', 'safari16.4'],
    legalComments: 'none',
    metafile: true,
  })
  for (const file of ['index.html', 'icon.svg', 'config.json']) {
    await cp(path.join(root, 'src', file), path.join(folder, file))
  }
  await writeFile(path.join(folder, 'LICENSES.txt'), await licences(result.metafile))
}

/** The notices of the packages whose code is in the bundle. */
async function licences(metafile) {
  const packages = new Set()
  for (const output of Object.values(metafile.outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(output.inputs)) {
      const folder = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]
      if (folder && bytesInOutput > 0) packages.add(folder)
    }
  }
  let text = 'The dashboard is part of Tawny (MIT or Apache-2.0) and contains:\n'
  for (const folder of [...packages].sort()) {
    const about = JSON.parse(await readFile(path.join(root, folder, 'package.json'), 'utf8'))
    const notice = (await readdir(path.join(root, folder))).find((name) => /^licen[cs]e/i.test(name))
    if (!notice) throw new Error(`${folder} has no licence file`)
    const body = await readFile(path.join(root, folder, notice), 'utf8')
    text += `\n${'-'.repeat(72)}\n${about.name} ${about.version} (${about.license})\n\n${body.trim()}\n`
  }
  return text.replaceAll('\r\n', '\n')
}

async function contents(folder) {
  const names = (await readdir(folder)).sort()
  return Promise.all(names.map(async (name) => [name, await readFile(path.join(folder, name), 'base64')]))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--check')) {
    const folder = await mkdtemp(path.join(tmpdir(), 'dashboard-'))
    try {
      await buildTo(folder)
      if (JSON.stringify(await contents(folder)) !== JSON.stringify(await contents(dist))) {
        console.error('dist/ is not what the sources build: run `npm run build` and commit dist/')
        process.exitCode = 1
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  } else {
    await rm(dist, { recursive: true, force: true })
    await buildTo(dist)
    let total = 0
    for (const [name, data] of await contents(dist)) {
      const size = Buffer.byteLength(data, 'base64')
      if (name !== 'LICENSES.txt') total += size
      console.log(`${String(size).padStart(8)}  ${name}`)
    }
    console.log(`${String(total).padStart(8)}  what a browser loads, bytes, uncompressed`)
  }
}
