import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { afterEach, describe, expect, it } from 'vitest'
import { officeOf } from './made-archive.ts'
import {
  createTexts,
  type ReadRange,
  type TextAsker,
  type TextsOptions,
  type TextTask,
} from './texts.ts'

const MiB = 1024 * 1024
const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((texts) => texts.close()))
})

function make(options?: TextsOptions) {
  const texts = createTexts(options)
  open.push(texts)
  return {
    close: texts.close,
    count: (task: TextTask, read: ReadRange, by: Partial<TextAsker> = {}) =>
      texts.count(task, read, { owner: 'a', signal: new AbortController().signal, ...by }),
  }
}

const readOf = (content: Uint8Array) => async (start: number, end: number) =>
  content.subarray(start, end)

function taskOf(kind: TextTask['kind'], content: Uint8Array, maxTokens = 1_000_000): TextTask {
  return { kind, bytes: content.length, maxTokens, countsAlways: true }
}

function count(texts: ReturnType<typeof make>, kind: TextTask['kind'], content: Uint8Array) {
  return texts.count(taskOf(kind, content), readOf(content))
}

/** A document that is small, and whose text is long. */
function docxOf(text: string): Buffer {
  const main = 'word/document.xml'
  return officeOf(main, {
    [main]: `<w:document><w:body><w:p><w:r><w:t>${text}</w:t></w:r></w:p></w:body></w:document>`,
  })
}

/** How many threads run besides. */
function threads(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length
}

describe('the text of a file', () => {
  it.each([
    ['text', Buffer.from('some words'), 'some words'],
    ['text', Buffer.from('\ufeffsome 漢字', 'utf16le'), 'some 漢字'],
    ['html', Buffer.from('<p>some <b>words</b>'), 'some words'],
    ['docx', docxOf('some words'), 'some words\n'],
    [
      'json-lines',
      Buffer.from('{"body":{"input":"some","model":"x"}}\n\n{"prompt":["words",1]}\n[]\n'),
      'some|words',
    ],
  ] as const)('is counted: %s', async (kind, content, text) => {
    expect(await count(make(), kind, content)).toEqual({
      tokens: text.split('|').reduce((sum, one) => sum + countTokens(one), 0),
      isOver: false,
    })
  })

  it('is not counted where its size decides, unless that is asked for', async () => {
    const content = docxOf('some words')
    const task = taskOf('docx', content, 100)
    const texts = make()
    expect(await texts.count({ ...task, countsAlways: false }, readOf(content))).toEqual({
      tokens: undefined,
      isOver: false,
    })
    expect(await texts.count(task, readOf(content))).toMatchObject({
      isOver: false,
      tokens: 3,
    })
  })

  it('is read no further than there may be tokens', async () => {
    const content = Buffer.from('word '.repeat(2 * MiB))
    let last = 0
    const outcome = await make().count(taskOf('text', content, 1000), async (start, end) => {
      last = end
      return content.subarray(start, end)
    })
    expect(outcome).toMatchObject({ isOver: true })
    expect(last).toBeLessThan(4 * MiB)
  })

  it('says why it cannot be read', async () => {
    expect(await count(make(), 'pdf', Buffer.from('no PDF'))).toEqual({
      failure: { code: 'damaged', message: expect.stringMatching(/^The document is damaged: /) },
    })
  })

  it('fails with what reading it fails with', async () => {
    class Lost extends Error {}
    const lost = new Lost('The bytes are gone.')
    const texts = make()
    for (const kind of ['text', 'pdf', 'docx', 'xlsx', 'html', 'json-lines'] as const) {
      const counting = texts.count(taskOf(kind, Buffer.alloc(9 * MiB)), async () => {
        throw lost
      })
      await expect(counting, kind).rejects.toBe(lost)
    }
    expect(await count(texts, 'text', Buffer.from('word'))).toMatchObject({ tokens: 1 })
  })
})

describe('a file that asks too much', () => {
  it('is given up when its time is over, and the next is read', async () => {
    const texts = make({ mostMilliseconds: 400 })
    const busy = docxOf('😀漢a'.repeat(8 * MiB))
    expect(await texts.count(taskOf('docx', busy, 1e9), readOf(busy))).toEqual({
      failure: {
        code: 'takes_too_long',
        message: 'The text of this file could not be read within 0.4 seconds of processor time.',
      },
    })
    expect(await count(texts, 'text', Buffer.from('word'))).toMatchObject({ tokens: 1 })
  })

  it('is no fault of the file where it is not given its bytes', async () => {
    const texts = make({ mostMilliseconds: 100 })
    const stalled = texts.count(taskOf('text', Buffer.alloc(9)), () => new Promise(() => {}))
    await expect(stalled).rejects.toThrow('The thread for texts stopped.')
    expect(await count(texts, 'text', Buffer.from('word'))).toMatchObject({ tokens: 1 })
  })

  it('is given up when its memory outside of the heap is over', async () => {
    const texts = make({ mostMiB: 128 })
    const content = Buffer.alloc(300 * MiB)
    // A library keeps what it has read of a PDF.
    const pages = texts.count(taskOf('pdf', content), async (start, end) => {
      if (start === 0) return Buffer.from('%PDF-1.7\n'.padEnd(end, ' '))
      return Buffer.alloc(end - start, 0x20)
    })
    expect(await pages).toMatchObject({ failure: expect.anything() })
    expect(await count(texts, 'text', Buffer.from('word'))).toMatchObject({ tokens: 1 })
  })

  it('is given up when its memory is over, and the next is read', async () => {
    const many = `{"prompt":[${'{},'.repeat(900_000)}{}]}`
    const texts = make({ mostMiB: 96 })
    const greedy = await count(texts, 'json-lines', Buffer.from(many))
    expect(greedy).toEqual({
      failure: {
        code: 'takes_too_much_memory',
        message: 'The text of this file could not be read within 96 MiB of memory.',
      },
    })
    expect(await count(texts, 'text', Buffer.from('word'))).toMatchObject({ tokens: 1 })
  })
})

describe('the threads that read texts', () => {
  it('are two at most', async () => {
    let started = 0
    const note = () => {
      started += 1
    }
    process.on('worker', note)
    try {
      const texts = make()
      let atOnce = 0
      let most = 0
      const bothRead = Promise.withResolvers<void>()
      const content = Buffer.from('word')
      const counting = Array.from({ length: 8 }, () =>
        texts.count(taskOf('text', content), async (start, end) => {
          atOnce += 1
          most = Math.max(most, atOnce)
          if (atOnce === 2) bothRead.resolve()
          await bothRead.promise
          atOnce -= 1
          return content.subarray(start, end)
        }),
      )
      for (const outcome of await Promise.all(counting)) {
        expect(outcome).toMatchObject({ tokens: 1 })
      }
      expect([most, started]).toEqual([2, 2])
    } finally {
      process.off('worker', note)
    }
  })

  it('tell files apart that are read at once and one after the other', async () => {
    const texts = make()
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, (_, number) =>
        count(texts, 'text', Buffer.from('word '.repeat(number + 1).trim())),
      ),
    )
    expect(outcomes.map((outcome) => 'tokens' in outcome && outcome.tokens)).toEqual(
      Array.from({ length: 12 }, (_, number) => number + 1),
    )
  })

  it('end some time after nothing is left to read', async () => {
    const began = once(process, 'worker')
    await count(make({ idleMilliseconds: 0 }), 'text', Buffer.from('word'))
    const [worker] = (await began) as [Worker]
    await once(worker, 'exit')
  })

  it('are used again, unless they hold much of the file before', async () => {
    let started = 0
    const note = () => {
      started += 1
    }
    process.on('worker', note)
    try {
      const texts = make()
      await count(texts, 'text', Buffer.from('word'))
      await count(texts, 'text', Buffer.from('word'))
      expect(started).toBe(1)
      await count(texts, 'json-lines', Buffer.from(`{"prompt":[${'{},'.repeat(900_000)}{}]}`))
      await count(texts, 'text', Buffer.from('word'))
      expect(started).toBe(2)
    } finally {
      process.off('worker', note)
    }
  })

  it('are given to whoever has few files before those who have many', async () => {
    const texts = make()
    const order: string[] = []
    const read = (name: string) => async () => {
      order.push(name)
      return Buffer.from('word')
    }
    const task = taskOf('text', Buffer.from('word'))
    const many = [1, 2, 3, 4, 5].map((number) =>
      texts.count(task, read(`many ${number}`), { owner: 'many' }),
    )
    const few = texts.count(task, read('few'), { owner: 'few' })
    await Promise.all([...many, few])
    // Two had begun, in threads of which one may start before the other.
    expect(order.indexOf('few')).toBeLessThan(3)
  })

  it('read no further for who leaves, be it under way or waiting', async () => {
    const texts = make()
    const leaving = new AbortController()
    const { signal } = leaving
    const reading = Promise.withResolvers<void>()
    const counting = Array.from({ length: 4 }, () =>
      texts.count(
        taskOf('text', Buffer.alloc(9)),
        () => {
          reading.resolve()
          return new Promise(() => {})
        },
        { signal },
      ),
    )
    const outcomes = Promise.allSettled(counting)
    await reading.promise
    const gone = new Error('The client left.')
    leaving.abort(gone)
    expect(await outcomes).toEqual(
      Array.from({ length: 4 }, () => ({ status: 'rejected', reason: gone })),
    )
    expect(await count(texts, 'text', Buffer.from('word'))).toMatchObject({ tokens: 1 })
  })

  it('end with whatever is under way and waits when they are closed', async () => {
    const before = threads()
    const texts = make()
    const reading = Promise.withResolvers<void>()
    const counting = Array.from({ length: 4 }, () =>
      texts.count(taskOf('text', Buffer.alloc(9)), () => {
        reading.resolve()
        return new Promise(() => {})
      }),
    )
    const outcomes = Promise.allSettled(counting)
    await reading.promise
    await texts.close()
    for (const { status } of await outcomes) expect(status).toBe('rejected')
    expect(threads()).toBe(before)
    await expect(count(texts, 'text', Buffer.from('word'))).rejects.toThrow(
      'No texts are read any more.',
    )
  })

  it('end also where they are closed before they have begun', async () => {
    const texts = make()
    const began = performance.now()
    const counting = texts.count(taskOf('text', Buffer.alloc(9)), () => new Promise(() => {}))
    const rejected = expect(counting).rejects.toThrow()
    await texts.close()
    await rejected
    expect(performance.now() - began).toBeLessThan(5_000)
  })
})
