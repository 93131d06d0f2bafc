/** The stores that many servers share: PostgreSQL, and a server that speaks as S3 does. */

import { startPostgresServer } from '../../packages/server/test/postgres-server.ts'
import { linksTo, type S3Links } from '../../packages/server/test/s3-links.ts'
import { type S3Engine, startS3Server } from '../../packages/server/test/s3-server.ts'

export interface SharedStores extends AsyncDisposable {
  /** What Coffer needs to be told to use them. */
  readonly settings: Readonly<Record<string, string>>
  /** Where anybody may put an object straight into the S3 server, and get it. */
  readonly straight: S3Links
}

export async function startSharedStores(engine: S3Engine): Promise<SharedStores> {
  await using starting = new AsyncDisposableStack()
  const postgres = starting.use(await startPostgresServer())
  const database = starting.use(await postgres.makeDatabase())
  const server = starting.use(await startS3Server(engine))
  const { bucket, endpoint } = await server.makePlace()
  const { accessKeyId, secretAccessKey } = server.credentials
  const straight = await linksTo(server, { Bucket: bucket, Key: 'large.bin' })
  const running = starting.move()
  return {
    settings: {
      COFFER_METADATA_URL: database.url,
      COFFER_BLOBS_URL: `s3://${bucket}?region=us-east-1&pathStyle=true&endpoint=${endpoint}`,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    },
    straight,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
