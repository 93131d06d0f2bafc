import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MultipartError } from './multipart-error.ts'
import { parsePartHeaders } from './part-headers.ts'

const KiB = 1024

const parse = (...lines: (string | Uint8Array)[]) =>
  parsePartHeaders(
    Buffer.concat(
      lines.flatMap((line, at) => [Buffer.from(at === 0 ? '' : '\r\n'), Buffer.from(line)]),
    ),
  )

const nameOf = (parameter: string) => parse(`Content-Disposition: form-data; ${parameter}`).name

const filenameOf = (parameters: string) =>
  parse(`Content-Disposition: form-data; name="file"; ${parameters}`).filename

function faultOf(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    if (!(error instanceof MultipartError)) throw error
    expect(error.code).toBe('malformed')
    return error.message
  }
  return 'none'
}

describe('the headers of a part', () => {
  it('give its name and its file name', () => {
    expect(parse('Content-Disposition: form-data; name="a"; filename="f.txt"')).toEqual({
      name: 'a',
      filename: 'f.txt',
    })
  })

  it('give no file name where none was sent', () => {
    expect(filenameOf('')).toBe(undefined)
  })

  it('give an empty file name where that was sent', () => {
    expect(filenameOf('filename=""')).toBe('')
  })

  it.each([
    ['any case', 'CONTENT-disposition: Form-Data; NAME="a"; FileName="b"'],
    ['no blanks', 'Content-Disposition:form-data;name="a";filename="b"'],
    ['many blanks', 'Content-Disposition: \t form-data \t; \tname \t=\t "a" ;  filename= "b" \t'],
    ['no quotes', 'Content-Disposition: form-data; name=a; filename=b'],
    ['a semicolon at the end', 'Content-Disposition: form-data; name="a"; filename="b"; '],
    ['the file name first', 'Content-Disposition: form-data; filename="b"; name="a"'],
    ['other parameters', 'Content-Disposition: form-data; size=1; name="a"; x="y"; filename="b"'],
  ])('may be written with %s', (_, line) => {
    expect(parse(line)).toEqual({ name: 'a', filename: 'b' })
  })

  it('may hold others before and after the Content-Disposition', () => {
    const { name } = parse(
      'Content-Type: ',
      "X-!#$%&'*+-.^_`|~: :",
      'Content-Disposition: form-data; name="a"',
      'Content-Length: 3',
    )
    expect(name).toBe('a')
  })

  it.each(['7bit', '8bit', 'binary', 'Binary', ''])('may name the encoding %j', (encoding) => {
    const lines = [
      `Content-Transfer-Encoding: ${encoding}`,
      'Content-Disposition: form-data; name="a"',
    ]
    expect(parse(...lines).name).toBe('a')
  })

  it.each(['base64', 'quoted-printable', 'x'])('may not name the encoding %j', (encoding) => {
    const lines = [
      `Content-Transfer-Encoding: ${encoding}`,
      'Content-Disposition: form-data; name="a"',
    ]
    expect(faultOf(() => parse(...lines))).toBe(
      `The form has a part with the Content-Transfer-Encoding '${encoding}'.`,
    )
  })

  it.each([
    ['without a colon', 'no header'],
    ['without a name', ': x'],
    ['with a blank before the colon', 'A : b'],
    ['with a blank before the name', ' A: b'],
    ['with a NUL in it', 'A: \0'],
    ['with a lone CR in it', 'A: b\rC: d'],
    ['with a lone LF in it', 'A: b\nC: d'],
    ['that is empty', ''],
    ['that begins with a byte order mark', '\ufeffA: b'],
    ['that begins like a boundary', '--a: b'],
  ])('may not hold a line %s', (_, line) => {
    for (const lines of [
      [line, 'Content-Disposition: form-data; name="a"'],
      ['Content-Disposition: form-data; name="a"', line],
    ]) {
      expect(faultOf(() => parse(...lines))).toBe(
        'The form has a part with a malformed header line.',
      )
    }
  })

  it('may not hold one header twice, in whatever case', () => {
    const lines = [
      'Content-Disposition: form-data; name="a"',
      'content-disposition: form-data; name="a"',
    ]
    expect(faultOf(() => parse(...lines))).toBe(
      'The form has a part with two content-disposition headers.',
    )
  })

  it('may not lack the Content-Disposition', () => {
    expect(faultOf(() => parse('Content-Type: text/plain'))).toBe(
      'The form has a part without a Content-Disposition header.',
    )
  })

  it('may not lack all', () => {
    expect(faultOf(() => parse(''))).toBe('The form has a part with a malformed header line.')
  })

  it.each([
    'attachment; name="a"',
    'form-data2; name="a"',
    '"form-data"; name="a"',
    '\ufeffform-data; name="a"',
    '\u00a0form-data; name="a"',
    '',
  ])('may not have the disposition %j', (disposition) => {
    expect(faultOf(() => parse(`Content-Disposition: ${disposition}`))).toBe(
      "The form has a part whose disposition is not 'form-data'.",
    )
  })

  it.each(['form-data', 'form-data;', 'form-data; filename="f"', 'form-data; names="a"'])(
    'may not leave the name out of %j',
    (disposition) => {
      expect(faultOf(() => parse(`Content-Disposition: ${disposition}`))).toBe(
        'The form has a part without a name.',
      )
    },
  )

  it.each(['name', 'filename', 'filename*'])('may not give the %s twice', (parameter) => {
    const line = `Content-Disposition: form-data; name=a; filename=b; filename*=UTF-8''c`
    expect(faultOf(() => parse(`${line}; ${parameter.toUpperCase()}=d`))).toBe(
      `The form has a part with two '${parameter.toUpperCase()}' parameters.`,
    )
  })

  it.each([
    'form-data; name="a',
    'form-data; name="a"b',
    'form-data; name="a"; filename',
    'form-data; name="a"; ="b"',
    'form-data; name="a" filename="b"',
    'form-data;; name="a"',
    'form-data; name=a b',
    'form-data; name=a"b"',
  ])('may not have the broken disposition %j', (disposition) => {
    expect(faultOf(() => parse(`Content-Disposition: ${disposition}`))).toBe(
      'The form has a part with a malformed Content-Disposition header.',
    )
  })

  it('may not be other text than UTF-8', () => {
    const latin1 = Buffer.from('Content-Disposition: form-data; name="\xe9"', 'latin1')
    expect(faultOf(() => parse(latin1))).toBe('The headers of a part of the form are not UTF-8.')
  })

  it('may not hide other text than UTF-8 in a header that nobody reads', () => {
    const lines = ['Content-Disposition: form-data; name="a"', Buffer.from([0x41, 0x3a, 0xff])]
    expect(faultOf(() => parse(...lines))).toBe('The headers of a part of the form are not UTF-8.')
  })
})

describe('a name', () => {
  it.each([
    ['in UTF-8', 'né中😀', 'né中😀'],
    ['with the escapes of browsers', '%22a%22%0D%0A%0d%0a', '"a"\r\n\r\n'],
    ['with other percent signs', '100%25 %zz %2', '100%25 %zz %2'],
    ['with the escapes of curl', '\\"a\\" \\\\ b', '"a" \\ b'],
    ['with the backslashes of a Windows path', 'C:\\new\\file', 'C:\\new\\file'],
    ['with a backslash at its end', 'C:\\', 'C:\\'],
    ['with an escaped backslash at its end', 'C:\\\\', 'C:\\'],
    ['with semicolons and equals signs', 'a; filename=b', 'a; filename=b'],
    ['with apostrophes', "it's", "it's"],
    ['with a byte order mark', '\ufeffa', '\ufeffa'],
    ['with blanks at its ends', ' a\t', ' a\t'],
  ])('is read %s', (_, written, name) => {
    expect(nameOf(`name="${written}"`)).toBe(name)
    expect(filenameOf(`filename="${written}"`)).toBe(name)
  })

  it('keeps an escaped quote from ending it, also before what looks like a file name', () => {
    expect(parse('Content-Disposition: form-data; name="a\\"; filename=\\"b"')).toEqual({
      name: 'a"; filename="b',
      filename: undefined,
    })
  })

  it('comes back as a browser wrote it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // No sender escapes a percent sign or a backslash in a way that the others understand.
        fc.pre(!/[%\\\0]/.test(text))
        const written = text.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
        expect(nameOf(`name="${written}"`)).toBe(text)
      }),
      { numRuns: 200 },
    )
  })

  it('comes back as curl wrote it', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('\\', '"', 'a', ';', '=', ' ')), (letters) => {
        const text = letters.join('')
        expect(nameOf(`name="${text.replace(/["\\]/g, '\\$&')}"`)).toBe(text)
      }),
      { numRuns: 500 },
    )
  })
})

describe('a file name with a charset', () => {
  it.each([
    ["UTF-8''n%C3%A9%20%e4%b8%ad.txt", 'né 中.txt'],
    ["utf-8'en-GB'a", 'a'],
    ["ISO-8859-1''n%E9", 'né'],
    ["UTF-8''%EF%BB%BFa", '\ufeffa'],
    ["UTF-8''", ''],
    ["UTF-8''!#$&+-.^_`|~", '!#$&+-.^_`|~'],
    ["UTF-8''%2522", '%22'],
    ['"UTF-8\'\'n%C3%A9"', 'né'],
  ])('is read from %j', (written, filename) => {
    expect(filenameOf(`filename*=${written}`)).toBe(filename)
  })

  it.each(['filename="a"; filename*=UTF-8\'\'b', 'filename*=UTF-8\'\'b; filename="a"'])(
    'goes before one without in %j',
    (parameters) => {
      expect(filenameOf(parameters)).toBe('b')
    },
  )

  it.each([
    ['that is not in its charset', "UTF-8''%C3"],
    ['in an unknown charset', "KOI8-R''a"],
    ['without a charset', "''a"],
    ['without apostrophes', 'a'],
    ['with one apostrophe', "UTF-8'a"],
    ['with three apostrophes', "UTF-8''a'b"],
    ['with a broken escape', "UTF-8''%C"],
    ['with an escape that is no number', "UTF-8''%GG"],
    ['in plain UTF-8', "UTF-8''né"],
    ['that is empty', ''],
  ])('is refused %s, though there is another', (_, written) => {
    expect(faultOf(() => filenameOf(`filename="a"; filename*=${written}`))).toBe(
      "The form has a part with a malformed 'filename*' parameter.",
    )
  })
})

describe('hostile headers', () => {
  const disposition = 'Content-Disposition: form-data; name="file"'

  // The sizes are such that an expression which can match in many ways is late, yet comes to an
  // end: no timer can interrupt it. A linear one takes less than a millisecond for each.
  it.each([
    ['backslashes that no quote ends', `${disposition}; x="${'\\'.repeat(46)}`],
    ['escaped quotes that no quote ends', `${disposition}; x="${'\\"'.repeat(2 * KiB)}a`],
    ['blanks before a letter', `${disposition}; x=a${' '.repeat(4 * KiB)}b`],
    ['blanks before an equals sign', `${disposition};${' '.repeat(4 * KiB)}=`],
    ['semicolons before a letter', `${disposition}${';'.repeat(4 * KiB)}b`],
    ['a long parameter without a value', `${disposition}; ${'b'.repeat(4 * KiB)}`],
    ['a long charset', `${disposition}; filename*=UTF-8${"'".repeat(4 * KiB)}a`],
    ['a long broken escape', `${disposition}; filename*=UTF-8''${'%41'.repeat(4 * KiB)}%`],
    ['blanks before a NUL', `${disposition}\r\nA:${' '.repeat(4 * KiB)}\0`],
    ['a long header without a colon', `${disposition}\r\n${'A'.repeat(4 * KiB)}`],
  ])('are refused in time: %s', { timeout: 5_000 }, (_, headers) => {
    expect(faultOf(() => parse(headers))).toMatch('malformed')
  })
})
