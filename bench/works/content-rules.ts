/** A large file of training lines up, held against the rules, beside the same without rules. */

import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cofferHead, runLoad } from '../clients.ts'
import { inTurn, median } from '../measure.ts'
import { type CofferServer, startCoffer } from '../servers/coffer.ts'
import { store, timedStore } from '../store.ts'
import type { Row } from '../table.ts'
import { secondsOf, usageOf } from '../timed.ts'

const MiB = 1024 * 1024
const bytes = 512 * MiB
const purpose = 'fine-tune'
const rounds = 5
/** Of retrieve, one after the other. */
const requests = 2_000

export async function measureContentRules(folder: string): Promise<Row[]> {
  await using checking = await startCoffer(folder)
  await using plain = await startCoffer(folder, { settings: { COFFER_CONTENT_RULES: 'off' } })
  // In memory, so that no disk is read while another is measured.
  const path = join('/dev/shm', `coffer-bench-${process.pid}.jsonl`)
  await writeTraining(path)
  try {
    const uploads = await inTurn(
      rounds,
      () => timedStore(checking, path, purpose),
      () => timedStore(plain, path, purpose),
    )
    const id = await store(checking, join(import.meta.dirname, '../../package.json'))
    const latencies = await inTurn(
      rounds,
      () => busyLatency(checking, path, id),
      () => latency(checking, id),
    )
    const work = '512 MiB of training lines of 2 KiB'
    const [busy, idle] = [median(latencies.a), median(latencies.b)]
    const [used, usedPlain] = [usageOf(uploads.a), usageOf(uploads.b)]
    const more = (used.peakMiB ?? Number.NaN) - (usedPlain.peakMiB ?? Number.NaN)
    const [seconds, plainSeconds] = [secondsOf(uploads.a), secondsOf(uploads.b)]
    return [
      {
        work: `${work}, held against the rules, beside the same without`,
        measured: `${seconds.toFixed(3)} s, without ${plainSeconds.toFixed(3)} s`,
        figure: seconds / plainSeconds,
        goal: { most: 1.3 },
        ...used,
      },
      {
        work: `${work}: MiB of peak memory that the rules add`,
        measured: `${more.toFixed(0)} MiB`,
        figure: more,
      },
      {
        work: `p99 of retrieve while ${work} are checked, beside idle`,
        measured: `${busy.toFixed(2)} ms, idle ${idle.toFixed(2)} ms`,
        figure: busy / idle,
        goal: { most: 3 },
      },
    ]
  } finally {
    await rm(path)
  }
}

/** In milliseconds, while uploads follow each other. */
async function busyLatency(coffer: CofferServer, path: string, id: string): Promise<number> {
  let isOver = false
  const uploading = (async () => {
    while (!isOver) await timedStore(coffer, path, purpose)
  })()
  try {
    return await latency(coffer, id)
  } finally {
    isOver = true
    await uploading
  }
}

async function latency({ port }: CofferServer, id: string): Promise<number> {
  const { p99Milliseconds } = await runLoad({
    ...{ port, connections: 1, rounds: requests, body: '', expected: 'HTTP/1.1 200' },
    heads: [cofferHead(`GET /v1/files/${id}`)],
  })
  return p99Milliseconds
}

/** Chats of some 2 KiB, as those that people train with. */
async function writeTraining(path: string): Promise<void> {
  const words = 'What does it cost to keep a file for a year, and who pays for it? \\"Nobody\\", '
  await using handle = await open(path, 'w')
  let written = 0
  for (let number = 0; written < bytes - 4096; ) {
    const lines: string[] = []
    for (let count = 0; count < 400; count += 1, number += 1) {
      const user = `{"role":"user","content":"${number}: ${words.repeat(10)}"}`
      const assistant = `{"role":"assistant","content":"${words.repeat(12)}"}`
      lines.push(`{"messages":[${user},${assistant}]}\n`)
    }
    const piece = lines.join('').slice(0, bytes - written)
    const whole = piece.slice(0, piece.lastIndexOf('\n') + 1)
    await handle.writeFile(whole)
    written += whole.length
  }
}
