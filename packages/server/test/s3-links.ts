/** URLs by which curl puts and gets an object of an S3 server itself. */

import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { S3Access } from './s3-server.ts'

export interface S3Links {
  readonly put: string
  readonly get: string
}

/** They work for an hour. */
export async function linksTo(
  { endpoint, credentials }: S3Access,
  object: { readonly Bucket: string; readonly Key: string },
): Promise<S3Links> {
  const client = new S3Client({
    ...{ endpoint, credentials, region: 'us-east-1', forcePathStyle: true },
    // Otherwise the URL names the checksum of an empty body.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  const options = { expiresIn: 3600 }
  try {
    return {
      put: await getSignedUrl(client, new PutObjectCommand(object), options),
      get: await getSignedUrl(client, new GetObjectCommand(object), options),
    }
  } finally {
    client.destroy()
  }
}
