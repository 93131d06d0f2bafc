/** Those of C0 and C1, and DEL: in what is shown to people they only do harm. */
export function hasControlCharacters(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  return /[\u0000-\u001f\u007f-\u009f]/.test(text)
}
