import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DocumentLimits, type RandomAccess, readDocumentText } from './document-text.ts'

const MiB = 1024 * 1024
const limits: DocumentLimits = { pages: 1, unpackedBytes: 64 * MiB }

describe('the text of a page', () => {
  it.each([
    ['words of one line', '<p>Some <b>bold</b>\n   words</p>', 'Some bold words'],
    ['a word whose letters are marked', '<p>un<i>believ</i>able</p>', 'unbelievable'],
    ['lines', '<h1>Title</h1><p>One<br>two</p><div>three</div>', 'Title\nOne\ntwo\nthree'],
    ['lists', '<ul> <li>one <li>two </ul>', 'one\ntwo'],
    ['tables', '<table><tr><td>a<td>b<tr><td>c<td>d</table>', 'a\tb\nc\td'],
    ['code as it stands', '<p>a</p><pre>if x:\n    y\n</pre><p>b', 'a\nif x:\n    y\n\nb'],
    ['the title', '<head><title>T &amp; U</title></head><body>x', 'T & U\nx'],
    [
      'characters by name and number',
      '&lt;p&gt; &eacute;&#x4e2d;&#128512; &unknown;',
      '<p> é中😀 &unknown;',
    ],
    ['spaces that do not break', 'a&nbsp; b', 'a\u00a0 b'],
    ['no script', '<script>if (a < b) "<p>x</p>"</script>y<noscript>z</noscript>', 'y'],
    [
      'no style, template or frame',
      '<style>p{}</style><template><p>x</template><iframe>z</iframe>y',
      'y',
    ],
    ['no comment', 'a<!-- <p>b</p> -->c<!doctype html>', 'ac'],
    ['nothing hidden', '<div hidden>x<p>y</p></div><input hidden>z', 'z'],
    ['what stands in sections of characters', '<svg><text><![CDATA[a < b]]></text></svg>', 'a < b'],
    ['nothing of an empty one', '', ''],
  ])('has %s', async (_, html, text) => {
    expect(await textOf(Buffer.from(html))).toBe(text)
  })

  it.each([
    ['UTF-8 with a byte order mark', Buffer.from('\ufeff<p>Привет 😀')],
    ['UTF-16, low bytes first', Buffer.from('\ufeff<p>Привет 😀', 'utf16le')],
    ['UTF-16, high bytes first', Buffer.from('\ufeff<p>Привет 😀', 'utf16le').swap16()],
  ])('is read in %s', async (_, html) => {
    expect(await textOf(html)).toBe('Привет 😀')
  })

  it.each([
    ['bytes that are no text', Buffer.of(0x61, 0xff)],
    ['half a character', Buffer.from('é').subarray(0, 1)],
    ['half a character of UTF-16', Buffer.of(0xff, 0xfe, 0x61)],
    ['elements that are nested too deep', Buffer.from('<b>'.repeat(MiB))],
    ['a tag that never ends', Buffer.from(`<b c="${'x'.repeat(40 * MiB)}`)],
  ])('is refused of %s', async (_, html) => {
    await expect(textOf(html)).rejects.toMatchObject({ name: 'DocumentError', code: 'damaged' })
  })

  it('holds an image within the page, and no more than is read at once', async () => {
    const image = `<img src="data:image/png;base64,${'x'.repeat(8 * MiB)}">`
    expect(await textOf(Buffer.from(`a${image}b`))).toBe('ab')
    const pieces = readDocumentText('html', contentOf(Buffer.from('<p>word'.repeat(MiB))), limits)
    let length = 0
    for await (const piece of pieces) {
      expect(piece.length).toBeLessThan(200_000)
      length += piece.length
    }
    expect(length).toBe('word\n'.length * MiB - 1)
  })

  it('is the words that were put in, in their order', async () => {
    const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).map((text) => {
      return text.replaceAll(/[\s\0]/g, '') || 'x'
    })
    await fc.assert(
      fc.asyncProperty(fc.array(word, { minLength: 1 }), async (words) => {
        const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
        const html = words.map((one) => `<p><em>${escaped(one)}</em></p>`).join('\n')
        expect(await textOf(Buffer.from(html))).toBe(words.join('\n'))
      }),
    )
  })

  it('fails as its content fails', async () => {
    const failure = new Error('The disk is gone.')
    const content: RandomAccess = { bytes: 9, read: () => Promise.reject(failure) }
    await expect(Array.fromAsync(readDocumentText('html', content, limits))).rejects.toBe(failure)
  })
})

async function textOf(html: Buffer): Promise<string> {
  return (await Array.fromAsync(readDocumentText('html', contentOf(html), limits))).join('')
}

function contentOf(bytes: Buffer): RandomAccess {
  return { bytes: bytes.length, read: async (start, end) => bytes.subarray(start, end) }
}
