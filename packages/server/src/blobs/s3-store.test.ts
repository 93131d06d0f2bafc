import { UploadPartCommand } from '@aws-sdk/client-s3'
import { describe, expect, it } from 'vitest'
import { createS3Store, s3Limits } from './s3-store.ts'

describe('the region that requests are signed for', () => {
  it.each([
    ['https://s3.eu-west-1.example.com', 'eu-west-1'],
    ['https://s3.fr-par.scw.example', 'fr-par'],
    ['https://s3-eu-west-1.example.com', 'eu-west-1'],
    ['https://s3.example.com', 'us-east-1'],
    ['https://storage.example.com', 'us-east-1'],
    ['http://minio:9000', 'us-east-1'],
    ['http://127.0.0.1:9000', 'us-east-1'],
    ['http://[::1]:9000', 'us-east-1'],
  ])('of %s is %s where none is named', async (endpoint, region) => {
    const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' }
    const place = { bucket: 'b', prefix: '', endpoint, pathStyle: true, credentials }
    const { client } = createS3Store({ ...place, region: undefined }, s3Limits)
    expect(await client.config.region()).toBe(region)
    const named = createS3Store({ ...place, region: 'garage' }, s3Limits)
    expect(await named.client.config.region()).toBe('garage')
  })
})

describe('the body of a part', () => {
  it.each([
    ['https://store.example.com', /^UNSIGNED-PAYLOAD$/],
    ['http://store.example.com', /^[0-9a-f]{64}$/],
  ])('is bound by the signature where TLS does not protect it: at %s', async (endpoint, hash) => {
    const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' }
    const place = { bucket: 'b', prefix: '', endpoint, pathStyle: true, credentials }
    const { client } = createS3Store({ ...place, region: undefined }, s3Limits)
    let headers: Record<string, string> = {}
    client.config.requestHandler = {
      ...client.config.requestHandler,
      async handle(request) {
        headers = request.headers
        throw new Error('Not sent.')
      },
    }
    const part = { Bucket: 'b', Key: 'k', UploadId: 'u', PartNumber: 1, Body: Buffer.from('part') }
    const request = new UploadPartCommand({ ...part, ChecksumCRC32: 'KElJMA==' })
    await expect(client.send(request)).rejects.toThrow('Not sent.')
    expect(headers['x-amz-content-sha256']).toMatch(hash)
    expect(headers['x-amz-checksum-crc32']).toBe('KElJMA==')
    expect(headers['authorization']).toMatch(/SignedHeaders=[^,]*x-amz-checksum-crc32/)
  })
})
