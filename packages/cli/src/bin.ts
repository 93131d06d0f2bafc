#!/usr/bin/env -S node --conditions=source --max-semi-space-size=2
// `npx coffer` in a checkout: the same program as main.ts, whose packages are taken from source.
import './main.ts'
