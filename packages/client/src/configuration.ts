/** Where a client talks to, as whom, and how patient it is. */

export interface ConfigurationOptions {
  /** The API's base URL, up to and with its version; by default the vendor's. */
  host?: string | undefined
  /** The API key, or what gives one for each request. */
  accessToken?: string | (() => string | Promise<string>) | undefined
  /** Sent as OpenAI-Organization. */
  organization?: string | undefined
  /** Sent as OpenAI-Project. */
  project?: string | undefined
  /** Sent with every request; a name given here takes the place of the client's own header. */
  headers?: Readonly<Record<string, string>> | undefined
  /** How often a request is sent again after it failed in a way that may pass; 2 by default. */
  maxRetries?: number | undefined
  /** Seconds without a byte in either direction after which a request is given up; 60 by default. */
  idleSeconds?: number | undefined
  /** What sends the requests; by default the global `fetch`. */
  fetch?: typeof globalThis.fetch | undefined
}

export class Configuration {
  readonly host: string
  readonly accessToken: ConfigurationOptions['accessToken']
  readonly organization: string | undefined
  readonly project: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly maxRetries: number
  readonly idleSeconds: number
  readonly fetch: typeof globalThis.fetch | undefined

  constructor(options: ConfigurationOptions = {}) {
    this.host = (options.host ?? 'https://api.openai.com/v1').replace(/\/+$/, '')
    this.accessToken = options.accessToken
    this.organization = options.organization
    this.project = options.project
    this.headers = options.headers ?? {}
    this.maxRetries = options.maxRetries ?? 2
    this.idleSeconds = options.idleSeconds ?? 60
    this.fetch = options.fetch
  }
}
