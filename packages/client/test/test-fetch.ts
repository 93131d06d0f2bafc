/** What sends the requests of a run: the suites of the client run once with each. */

import { httpFetch } from '../src/node.ts'

export const testFetch = process.env['COFFER_TEST_FETCH'] === 'http' ? httpFetch : undefined
