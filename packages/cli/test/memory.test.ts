import { createCipheriv, createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type Coffer, makeFolder, runProgram, startCoffer } from './start-coffer.ts'

const MiB = 1024 * 1024
/** The largest file that a server takes by default. */
const fileBytes = 512 * MiB
const mostMiB = 250

const hasProc = process.platform === 'linux'
if (!hasProc) console.warn('skipped: no /proc to read the resident memory from')

describe.skipIf(!hasProc)('the resident memory of the server', () => {
  it(`stays under ${mostMiB} MiB while the largest file comes and goes`, async () => {
    await using folder = await makeFolder()
    const path = join(folder.path, 'large.bin')
    const sum = await writeLarge(path)
    await using coffer = await startCoffer()
    const atStart = await peakMiB(coffer)
    const authorization = ['-H', `Authorization: Bearer ${coffer.key}`]
    const files = `${coffer.url}/v1/files`

    const form = ['-F', 'purpose=user_data', '-F', `file=@${path}`]
    const answer = await curl([...authorization, ...form, files])
    const { id, bytes } = z.object({ id: z.string(), bytes: z.int() }).parse(JSON.parse(answer))
    expect(bytes).toBe(fileBytes)
    const afterUpload = await peakMiB(coffer)

    const target = join(folder.path, 'downloaded.bin')
    await curl([...authorization, '-o', target, `${files}/${id}/content`])
    const afterDownload = await peakMiB(coffer)
    expect((await stat(target)).size).toBe(fileBytes)
    expect(await sumOf(target)).toBe(sum)

    console.log(
      `peak resident memory: ${atStart} MiB at the start, ${afterUpload} MiB after an upload of ` +
        `512 MiB, ${afterDownload} MiB after its download`,
    )
    expect(afterDownload).toBeLessThan(mostMiB)
  })
})

/** Bytes that look random, so that nothing can be won by their being alike. @returns SHA-256. */
async function writeLarge(path: string): Promise<string> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const digest = createHash('sha256')
  const file = createWriteStream(path)
  const zeros = Buffer.alloc(MiB)
  for (let written = 0; written < fileBytes; written += MiB) {
    const piece = cipher.update(zeros)
    digest.update(piece)
    if (!file.write(piece)) await once(file, 'drain')
  }
  file.end()
  await finished(file)
  return digest.digest('hex')
}

async function sumOf(path: string): Promise<string> {
  const digest = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: MiB })) digest.update(piece)
  return digest.digest('hex')
}

async function curl(args: readonly string[]): Promise<string> {
  await using program = runProgram('curl', [
    '--silent',
    '--show-error',
    '--fail-with-body',
    ...args,
  ])
  const { code } = await program.ended
  if (code !== 0) throw new Error(`curl ended with ${code}: ${program.stderr}${program.stdout}`)
  return program.stdout
}

/** The most that the process ever had in memory. */
async function peakMiB({ pid }: Coffer): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? []
  return Math.round(Number(kibibytes) / 1024)
}
