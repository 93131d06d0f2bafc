/** Text that came from elsewhere, made harmless for a terminal. */

/** Steers the terminal, turns the line around or ends it. */
const steering = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu

/** A name must not steer the terminal or turn the line around. */
export function printable(text: string): string {
  return text.replace(steering, '\ufffd')
}

/** One object on a line; what steers a terminal is escaped, so that nothing is lost. */
export function jsonLine(value: unknown): string {
  const escaped = JSON.stringify(value).replace(
    steering,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return `${escaped}\n`
}
