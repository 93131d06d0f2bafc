#!/usr/bin/env -S node --conditions=source --max-semi-space-size=2
// `npx coffer` in a checkout: the published program, with its packages taken from source. It is
// JavaScript, because only what is imported once the cache is on need not be stripped at each start.
import { enableCompileCache } from 'node:module'

enableCompileCache()
await import('./src/main.ts')
