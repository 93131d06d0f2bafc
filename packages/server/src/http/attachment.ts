/** The Content-Disposition of a download (RFC 6266). */

/**
 * Both forms of the name where it is not plain ASCII. The plain form is always quoted, as the
 * vendor has it and as clients with simple parsers expect; libraries leave the quotes out.
 */
export function attachment(filename: string): string {
  const plain = filename.replace(/[^\x20-\x7e]/gu, '?').replace(/["\\]/g, '\\$&')
  // Some clients decode percent signs of the plain form, so such a name is given in both, too.
  if (/^[\x20-\x24\x26-\x7e]*$/.test(filename)) return `attachment; filename="${plain}"`
  const extended = encodeURIComponent(filename).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `attachment; filename="${plain}"; filename*=UTF-8''${extended}`
}
