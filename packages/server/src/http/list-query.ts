/** Reads the query of a list as the vendor does (contract §1.1, §2.6). */

import { ListFilesQuery, ListOrder, limits, Purpose, purposes } from '@coffer/contract'
import { z } from 'zod'
import { checkInteger, orderInvalid, purposeInvalid, ServiceError } from '../service/errors.ts'

/** Unknown keys are ignored, as are an empty purpose and an empty cursor. */
export function readListQuery(sent: unknown): ListFilesQuery {
  const query = Query.parse(sent)
  const purpose = lastOf(query['purpose'])
  const limit = lastOf(query['limit'])
  const order = lastOf(query['order'])
  const after = lastOf(query['after'])
  return ListFilesQuery.parse({
    purpose: purpose === undefined || purpose === '' ? undefined : toPurpose(purpose),
    limit: limit === undefined ? undefined : toLimit(limit, limits.pageFiles),
    order: order === undefined ? undefined : toOrder(order),
    after: after === '' ? undefined : after,
  })
}

/** The same of a list of parts. */
export function readPartsQuery(sent: unknown): { limit: number; after: string | undefined } {
  const query = Query.parse(sent)
  const limit = lastOf(query['limit'])
  const after = lastOf(query['after'])
  return {
    limit: limit === undefined ? limits.pageParts.default : toLimit(limit, limits.pageParts),
    after: after === '' ? undefined : after,
  }
}

const Query = z.record(z.string(), z.unknown())

/** Of a key given more than once the last value counts. */
function lastOf(value: unknown): string | undefined {
  const last: unknown = Array.isArray(value) ? value.at(-1) : value
  return typeof last === 'string' ? last : undefined
}

function toPurpose(value: string): Purpose {
  const { success, data } = Purpose.safeParse(value)
  if (!success) throw purposeInvalid(value, purposes)
  return data
}

function toOrder(value: string): ListOrder {
  const { success, data } = ListOrder.safeParse(value)
  if (!success) throw orderInvalid(value, ListOrder.options)
  return data
}

function toLimit(value: string, bounds: { least: number; most: number }): number {
  try {
    return checkInteger('limit', value, bounds)
  } catch (error) {
    // Alone among the vendor's answers, those about a list's limit name no param and no code.
    if (!(error instanceof ServiceError)) throw error
    throw new ServiceError('query_invalid', error.message, { cause: error })
  }
}
