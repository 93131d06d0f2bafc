/** Reads the query of a list as the vendor does (contract §1.1, §2.6). */

import { ListFilesQuery, ListOrder, limits, Purpose, purposes } from '@coffer/contract'
import { checkInteger, orderInvalid, purposeInvalid, ServiceError } from '../service/errors.ts'

/** Unknown keys are ignored, as are an empty purpose and an empty cursor. */
export function readListQuery(query: Readonly<Record<string, unknown>>): ListFilesQuery {
  const purpose = lastOf(query['purpose'])
  const limit = lastOf(query['limit'])
  const order = lastOf(query['order'])
  const after = lastOf(query['after'])
  return ListFilesQuery.parse({
    purpose: purpose === undefined || purpose === '' ? undefined : toPurpose(purpose),
    limit: limit === undefined ? undefined : toLimit(limit),
    order: order === undefined ? undefined : toOrder(order),
    after: after === '' ? undefined : after,
  })
}

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

function toLimit(value: string): number {
  try {
    return checkInteger('limit', value, limits.pageFiles)
  } catch (error) {
    // Alone among the vendor's answers, those about a list's limit name no param and no code.
    if (!(error instanceof ServiceError)) throw error
    throw new ServiceError('query_invalid', error.message, { cause: error })
  }
}
