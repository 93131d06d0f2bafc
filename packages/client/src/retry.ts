/** Whether and when a request is sent again, by the rules of the official SDKs (contract §3.4). */

/** A server may ask for more patience than this; then the problem is the caller's to solve. */
const longestSeconds = 60

export function mayRetry(response: Response): boolean {
  const wish = response.headers.get('x-should-retry')
  if (wish === 'true') return true
  if (wish === 'false') return false
  const { status } = response
  return [408, 409, 429].includes(status) || status >= 500
}

/**
 * Milliseconds to wait before the next try: what the server asks for, or half a second doubled with
 * each try, at most eight seconds, less up to a quarter so that clients do not come back together.
 *
 * @param tries how often the request was sent.
 * @returns undefined if the server asks for more than a minute.
 */
export function retryDelay(tries: number, headers?: Headers): number | undefined {
  const asked = headers === undefined ? undefined : askedDelay(headers)
  if (asked !== undefined) return asked <= longestSeconds * 1000 ? asked : undefined
  const seconds = Math.min(0.5 * 2 ** (tries - 1), 8)
  return seconds * 1000 * (1 - Math.random() / 4)
}

function askedDelay(headers: Headers): number | undefined {
  const milliseconds = Number.parseFloat(headers.get('retry-after-ms') ?? '')
  if (milliseconds >= 0) return milliseconds
  const text = headers.get('retry-after') ?? ''
  const seconds = Number.parseFloat(text)
  if (seconds >= 0) return seconds * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}
