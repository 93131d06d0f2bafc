/** Whose content is given out. */

/** `openai` refuses all that the vendor refuses; `open` lets the owner of the bytes decide. */
export type Profile = 'open' | 'openai'

/** Whether content comes through the server, or clients are sent to where it is. */
export type Downloads = 'stream' | 'redirect'

/** Purposes whose files the vendor does not give back (contract §2.5). */
export function isDownloadable(purpose: string, profile: Profile): boolean {
  return profile === 'open' || !['assistants', 'user_data'].includes(purpose)
}
