/**
 * Writes to PostgreSQL by one connection, which commits in groups: the operations that came while the last
 * group ran share a transaction, and so one flush of its log. Those of one organization take effect in the
 * order in which they came.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { MetadataError } from './metadata-error.ts'
import { type OperationName, runOperation } from './metadata-store.ts'
import type { PostgresConnection } from './postgres-client.ts'
import { faultOf, toMetadataError } from './postgres-faults.ts'
import { Refusal } from './refusal.ts'
import { isShared, projectOf } from './shared-writes.ts'

/** Operations of one transaction, so that those of other servers never wait long for their organizations. */
const groupSize = 60

/** More than so many operations wait only where the database is far too slow. */
const mostWaiting = 10_000

export interface PostgresWriterNeeds {
  connect(): Promise<PostgresConnection>
  /** Milliseconds from the call of an operation in which it is tried again, where that may help. */
  readonly patience: number
}

export interface PostgresWriter {
  /** Connects, which is done when it is needed otherwise. @throws as the connection does. */
  open(): Promise<void>
  /**
   * Resolves once the operation is committed and durable.
   *
   * @throws MetadataError; what the operation throws, but a `Refusal`, of which it gives the outcome.
   */
  run(name: OperationName, args: readonly unknown[]): Promise<unknown>
  /** Ends the connection, once nothing is under way. */
  close(): Promise<void>
}

interface Call {
  readonly name: OperationName
  readonly args: readonly unknown[]
  /** As of `performance.now()`. */
  readonly deadline: number
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

/** What came of one operation of a group that went on. */
type Outcome = { readonly result: unknown } | { readonly error: unknown }

/** The connection was lost after the commit was asked for, so that it may have happened. */
class CommitUnknown extends Error {
  override readonly name = 'CommitUnknown'
}

export function createPostgresWriter({ connect, patience }: PostgresWriterNeeds): PostgresWriter {
  let waiting: Call[] = []
  let connection: PostgresConnection | undefined
  let working: Promise<void> | undefined

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const group = takeGroup(waiting)
      try {
        connection ??= await connect()
        const outcomes = await commitTogether(connection, group)
        // Those of organizations that others have locked come first the next time.
        waiting.unshift(...group.filter((call) => !outcomes.has(call)))
        for (const [call, outcome] of outcomes) settle(call, outcome)
      } catch (error) {
        drop()
        const fault = faultOf(error)
        const mayHelp = fault === 'lost' || fault === 'again'
        if (mayHelp) waiting.unshift(...group)
        else for (const call of group) call.reject(toMetadataError(error))
        if (mayHelp) {
          rejectLate(error)
          await delay(50)
        }
      }
    }
    working = undefined
  }

  /** All that wait, as the database works for none of them. */
  function rejectLate(error: unknown): void {
    const now = performance.now()
    const late = waiting.filter(({ deadline }) => deadline <= now)
    waiting = waiting.filter(({ deadline }) => deadline > now)
    for (const call of late) call.reject(toMetadataError(error))
  }

  /** What was under way on the connection is rolled back, if it can still be. */
  function drop(): void {
    // Not waited for: of a dead one the end would never come.
    connection?.close().catch(() => {})
    connection = undefined
  }

  return {
    async open() {
      connection ??= await connect()
    },
    run(name, args) {
      if (waiting.length >= mostWaiting) {
        return Promise.reject(new MetadataError('unavailable', 'Too many writes wait.'))
      }
      return new Promise((resolve, reject) => {
        const deadline = performance.now() + patience
        waiting.push({ name, args, deadline, resolve, reject })
        working ??= Promise.resolve().then(work)
      })
    },
    async close() {
      await working
      await connection?.close()
    },
  }
}

/** Takes what can share a transaction, or one that cannot. */
function takeGroup(waiting: Call[]): Call[] {
  const others = waiting.findIndex((call) => !isShared(call.name))
  const shared = others === -1 ? waiting.length : others
  return waiting.splice(0, Math.min(Math.max(shared, 1), groupSize))
}

function settle(call: Call, outcome: Outcome): void {
  if ('result' in outcome) call.resolve(outcome.result)
  else call.reject(outcome.error)
}

/**
 * Runs operations in one transaction, of which each takes effect as a whole or not at all.
 *
 * @returns of each what came of it, but of those whose organizations other servers have locked.
 * @throws where the transaction has no effect, or it is not known whether it has.
 */
async function commitTogether(
  connection: PostgresConnection,
  group: readonly Call[],
): Promise<Map<Call, Outcome>> {
  const begun = connection.query('begin')
  begun.catch(() => {})
  const ready = await lockFor(connection, group)
  // Without it each statement would be a transaction of its own.
  await begun
  const outcomes = new Map<Call, Outcome>()
  for (const call of ready) {
    send(connection, 'savepoint operation')
    try {
      const result = await runOperation(connection.db, call.name, call.args)
      send(connection, 'release savepoint operation')
      outcomes.set(call, { result })
    } catch (error) {
      const isRefusal = error instanceof Refusal
      if (!isRefusal && faultOf(error) !== undefined) throw error
      send(connection, 'rollback to savepoint operation')
      outcomes.set(call, isRefusal ? { result: error.outcome } : { error })
    }
  }
  await commit(connection)
  return outcomes
}

/**
 * Locks the organizations of a group, so that nobody else changes what is theirs: those that are free, or the
 * first one that is not, for which it waits in turn, as servers that share one would else starve each other.
 *
 * @returns those of the group whose organizations are locked now, or that need none.
 */
async function lockFor(connection: PostgresConnection, group: readonly Call[]): Promise<Call[]> {
  const projects = new Map(group.map((call) => [call, projectOf(call.name, call.args)]))
  const wanted = [...new Set([...projects.values()].filter((project) => project !== undefined))]
  if (wanted.length === 0) return [...group]
  const busy = await lockProjects(connection, wanted, 'skip locked')
  const isFree = (call: Call) => !busy.has(projects.get(call) ?? '')
  if (group.some(isFree)) return group.filter(isFree)
  const [first] = wanted
  if (first !== undefined) await lockProjects(connection, [first], '')
  return group.filter((call) => projects.get(call) === first)
}

/** @returns those whose organizations are locked by others. */
async function lockProjects(
  connection: PostgresConnection,
  projects: readonly string[],
  others: 'skip locked' | '',
): Promise<Set<string>> {
  // Always in one order, so that no two servers wait for each other.
  const { rows } = await connection.query(
    `with locked as materialized (
      select id from organizations
      where id in (select organization_id from projects where id = any($1))
      order by id for no key update ${others}
    )
    select id from projects
    where id = any($1) and organization_id not in (select id from locked)`,
    [projects],
  )
  return new Set(rows.map(({ id }) => id))
}

async function commit(connection: PostgresConnection): Promise<void> {
  // Where a standby has to have it too, the time-out would end the wait for that and let the commit succeed.
  send(connection, 'set local statement_timeout = 0')
  const { command } = await connection.query('commit').catch((error: unknown) => {
    if (faultOf(error) !== 'lost') throw error
    const cause = new CommitUnknown('The outcome of a commit is not known.', { cause: error })
    throw new MetadataError('unavailable', 'The metadata store does not work now.', { cause })
  })
  // So it is done where a statement failed.
  if (command !== 'COMMIT') throw new Error(`PostgreSQL answered a commit with ${command}.`)
}

/** Sends a statement that fails only where all that are sent behind it do. */
function send(connection: PostgresConnection, sql: string): void {
  connection.query(sql).catch(() => {})
}
