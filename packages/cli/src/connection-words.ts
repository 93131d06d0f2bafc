/** How a person names a service to a command. */

/** What a service is named by, for the sentences about it. */
export interface ConnectionWords {
  readonly which: string
  readonly urlName: string
  readonly urlOption: string
  readonly keyName: string
  readonly keyOption: string
}

/** The one that most commands talk to. */
export const serverWords: ConnectionWords = {
  which: 'Which server?',
  ...{ urlName: 'OPENAI_BASE_URL', urlOption: '--url' },
  ...{ keyName: 'OPENAI_API_KEY', keyOption: '--key' },
}
