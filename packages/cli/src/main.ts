#!/usr/bin/env -S node --max-semi-space-size=2
// The published program. Every piece of an upload that comes from a socket is a buffer outside of
// V8's heap, and is freed when the young generation is collected; with the default of 16 MiB for
// that generation, uploads took 70 MiB more resident memory at the same speed (measured).
import { enableCompileCache } from 'node:module'

// What is imported below is compiled, and in a checkout stripped of its types, only once: a start
// takes a third of the time (measured). Node keeps the cache in the folder for temporary files.
enableCompileCache()
const { run } = await import('./run.ts')

process.exitCode = await run(process.argv.slice(2), process)
