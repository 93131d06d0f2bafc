/** Forms of all kinds, good and bad, each with the boundary that its request names. */

import { fieldPart, filePart, formBody } from './form-body.ts'

export interface CorpusForm {
  readonly name: string
  readonly boundary: string
  readonly body: Buffer<ArrayBuffer>
}

const purpose = fieldPart('purpose', 'user_data')
const disposition = 'Content-Disposition: form-data; name="file"; filename="a.bin"'

function form(name: string, body: Buffer<ArrayBuffer> | string, boundary = 'cut'): CorpusForm {
  return { name, boundary, body: typeof body === 'string' ? Buffer.from(body) : body }
}

function content(name: string, bytes: string | Uint8Array): CorpusForm {
  return form(name, formBody('cut', [purpose, filePart(bytes)]))
}

function named(name: string, parameters: string): CorpusForm {
  return form(name, formBody('cut', [purpose, filePart('content', parameters)]))
}

const whole = formBody('cut', [purpose, filePart()])
const start = '--cut\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'

export const corpus: readonly CorpusForm[] = [
  form('the purpose first', whole),
  form('the file first', formBody('cut', [filePart(), purpose])),
  form('no line end behind it', formBody('cut', [purpose, filePart()], '')),
  form('text behind its last line', formBody('cut', [purpose, filePart()], '\r\nepilogue')),
  form('text in its last line', formBody('cut', [purpose, filePart()], 'epilogue\r\n')),
  form('text before it', Buffer.concat([Buffer.from('preamble\r\n'), whole])),
  form('a line end before it', Buffer.concat([Buffer.from('\r\n'), whole])),
  form('the longest boundary', formBody('b'.repeat(70), [purpose, filePart()]), 'b'.repeat(70)),
  form(
    'a boundary of dashes',
    formBody('------', [purpose, filePart('a\r\n-----\r\nb')]),
    '------',
  ),
  form('a boundary of one letter', formBody('x', [purpose, filePart('a\r\n--y')]), 'x'),
  content('no byte', ''),
  content('one byte', 'x'),
  content('a line end only', '\r\n'),
  content('line ends only', '\r\n\r\n\r\n'),
  content('CR at its end', 'content\r'),
  content('CR and two dashes at its end', 'content\r\n--'),
  content(
    'all bytes',
    Uint8Array.from({ length: 256 }, (_, at) => at),
  ),
  content('the beginning of the delimiter', 'a\r\n--cu\r\nb'),
  content('a line that starts like the delimiter', 'a\r\n--cutter\r\nb'),
  content('the delimiter in the middle of a line', 'a --cut b --cut-- c'),
  content('the delimiter behind a bare LF', 'a\n--cut\nb\n--cut--\n'),
  content('the delimiter behind a bare CR', 'a\r--cut\rb'),
  content('delimiters that overlap', 'a\r\n--cu\r\n--cu\r\n\r\n--cu'),
  content('what looks like headers', 'Content-Disposition: form-data; name="x"\r\n\r\ny'),
  content('what looks like a request', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  named('no filename', ''),
  named('an empty filename', '; filename=""'),
  named('a filename in UTF-8', '; filename="né中.bin"'),
  named('a filename with quotes', '; filename="a%22b\\"c.bin"'),
  named('an extended filename', '; filename="x"; filename*=UTF-8\'\'n%C3%A9.bin'),
  named('a malformed extended filename', "; filename*=UTF-8''%zz"),
  named('a filename with NUL', '; filename="a\0b"'),
  named('two filenames', '; filename="a"; filename="b"'),
  form('two files', formBody('cut', [purpose, filePart('a'), filePart('b')])),
  form('no file', formBody('cut', [purpose])),
  form('no purpose', formBody('cut', [filePart()])),
  form('two purposes', formBody('cut', [purpose, purpose, filePart()])),
  form('a wrong purpose behind the file', formBody('cut', [filePart(), fieldPart('purpose', 'x')])),
  form('an unknown field', formBody('cut', [purpose, filePart(), fieldPart('x', 'y')])),
  form(
    'headers besides',
    `${start}--cut\r\nX-A: b\r\n${disposition}\r\nContent-Type: a/b\r\n\r\nc\r\n--cut--\r\n`,
  ),
  form('a folded header', `${start}--cut\r\n${disposition}\r\n ; x=y\r\n\r\nc\r\n--cut--\r\n`),
  form('bare LF for line ends', whole.toString().replaceAll('\r\n', '\n')),
  form('bare LF in the headers', `${start}--cut\n${disposition}\n\nc\r\n--cut--\r\n`),
  form('blanks behind a delimiter', `${start}--cut \t\r\n${disposition}\r\n\r\nc\r\n--cut--\r\n`),
  form('no headers', `${start}--cut\r\n\r\nc\r\n--cut--\r\n`),
  form(
    'a coded part',
    `${start}--cut\r\n${disposition}\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--cut--\r\n`,
  ),
  form('no end', whole.subarray(0, -8)),
  form('half an end', whole.subarray(0, -3)),
  form('only its end', '--cut--\r\n'),
  form('nothing', ''),
  form('another boundary', formBody('other', [purpose, filePart()])),
]
