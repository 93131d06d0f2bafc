/** What `npm test` runs before the tests, whose time is bounded: the first time it takes minutes. */

import { buildS3Server, s3Engines } from './s3-server.ts'
import { whyNoS3Server } from './why-no-s3-server.ts'

const why = await whyNoS3Server({ isGiven: false })
if (why === undefined) for (const engine of s3Engines) await buildS3Server(engine)
else console.log(`The S3 servers of the tests: ${why}.`)
