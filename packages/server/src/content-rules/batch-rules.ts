/** What each line of a batch's input has to be (contract §2.9, §6.2). */

import { hash } from 'node:crypto'
import { missing, shown, type Tell, wrongType, wrongValue } from './fault.ts'
import { isObject, type JsonObject, ownValue } from './json-objects.ts'

/** The endpoints that a batch can ask of the vendor; other servers of models have more. */
const endpoints: readonly string[] = [
  ...['/v1/responses', '/v1/chat/completions', '/v1/embeddings', '/v1/completions'],
  ...['/v1/moderations', '/v1/images/generations', '/v1/images/edits', '/v1/videos'],
]

/** Of how many models requests are counted: a batch that is right has one. */
const mostModels = 100

export interface BatchRules {
  check(line: JsonObject, tell: Tell): void
  /** How many requests there are of each model, of the first hundred. */
  models(): ReadonlyMap<string, number>
}

/**
 * Of one file: ids are unique in it, the endpoint and the model are the same in all lines.
 *
 * @param isStrict whether an endpoint that the vendor does not have is a fault.
 */
export function createBatchRules({ isStrict }: { isStrict: boolean }): BatchRules {
  const ids = new Set<string>()
  let idCount = 0
  const models = new Map<string, number>()
  let endpoint: string | undefined
  let first: string | undefined

  function checkId(line: JsonObject, tell: Tell): void {
    const id = ownValue(line, 'custom_id')
    if (id === undefined) {
      tell(missing('custom_id'))
      return
    }
    if (typeof id !== 'string') {
      tell(wrongType('custom_id', 'a string'))
      return
    }
    // A long one is known by its digest, so that a file of them takes no more memory.
    ids.add(id.length > 64 ? hash('sha256', id) : id)
    const isNew = ids.size > idCount
    idCount = ids.size
    if (isNew) return
    tell({
      code: 'duplicate_custom_id',
      message:
        `The custom_id '${shown(id)}' is used by an earlier line of this file, ` +
        'and must be unique.',
      ...{ param: 'custom_id', expected: 'an id that no other line has' },
    })
  }

  function checkMethod(line: JsonObject, tell: Tell): void {
    const method = ownValue(line, 'method')
    if (method === undefined) tell(missing('method'))
    else if (method !== 'POST') tell(wrongValue('method', ['POST']))
  }

  function checkUrl(line: JsonObject, tell: Tell): void {
    const url = ownValue(line, 'url')
    if (url === undefined) {
      tell(missing('url'))
      return
    }
    const isPath = typeof url === 'string' && url.startsWith('/')
    if (!isPath || (isStrict && !endpoints.includes(url))) {
      const expected = isPath
        ? `one of ${endpoints.join(', ')}`
        : "a path, as '/v1/chat/completions'"
      tell({ code: 'invalid_url', message: `The URL must be ${expected}.`, param: 'url', expected })
      return
    }
    endpoint ??= url
    if (url === endpoint) return
    tell({
      code: 'invalid_url',
      message: 'The URL provided for this request does not match the batch endpoint.',
      ...{ param: 'url', expected: `'${shown(endpoint)}', as in the lines before` },
    })
  }

  function checkBody(line: JsonObject, tell: Tell): void {
    const body = ownValue(line, 'body')
    if (body === undefined) {
      tell(missing('body'))
      return
    }
    if (!isObject(body)) {
      tell(wrongType('body', 'an object'))
      return
    }
    checkModel(body, tell)
    if (ownValue(body, 'stream') !== true) return
    tell({
      code: 'streaming_unsupported',
      message: 'Streaming is not supported in the Batch API.',
      ...{ param: 'body.stream', expected: 'no stream, or false' },
    })
  }

  function checkModel(body: JsonObject, tell: Tell): void {
    const model = ownValue(body, 'model')
    if (model === undefined) {
      const message = 'Model parameter is required.'
      const expected = "the parameter 'model'"
      tell({ code: 'invalid_request', message, param: 'body.model', expected })
      return
    }
    if (typeof model !== 'string') {
      tell(wrongType('body.model', 'a string'))
      return
    }
    const name = shown(model)
    const count = models.get(name) ?? 0
    if (count > 0 || models.size < mostModels) models.set(name, count + 1)
    first ??= model
    if (model === first) return
    tell({
      code: 'mismatched_model',
      message:
        'All requests of a batch must have the same model: ' +
        `this one has '${name}', and the lines before it '${shown(first)}'.`,
      ...{ param: 'body.model', expected: `'${shown(first)}'` },
    })
  }

  return {
    check(line, tell) {
      checkId(line, tell)
      checkMethod(line, tell)
      checkUrl(line, tell)
      checkBody(line, tell)
    },
    models: () => models,
  }
}
