/** The client of a real server. */

import type { Client, TestServer } from '../../server/test/start-server.ts'
import { ApiClient, Configuration, type ConfigurationOptions, FilesApi } from '../src/index.ts'
import { testFetch } from './test-fetch.ts'

export function apiOf(
  server: Client & Pick<TestServer, 'url'>,
  options: ConfigurationOptions = {},
): FilesApi {
  const facts = {
    host: `${server.url}/v1`,
    accessToken: server.apiKey,
    maxRetries: 0,
    fetch: testFetch,
  }
  return new FilesApi(new ApiClient(new Configuration({ ...facts, ...options })))
}
