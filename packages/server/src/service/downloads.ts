/** Whose content is given out. */

/** `openai` refuses all that the vendor refuses; `open` lets the owner of the bytes decide. */
export type Profile = 'open' | 'openai'

/** Purposes whose files the vendor does not give back (contract §2.5). */
export function isDownloadable(purpose: string, profile: Profile): boolean {
  return profile === 'open' || !['assistants', 'user_data'].includes(purpose)
}
