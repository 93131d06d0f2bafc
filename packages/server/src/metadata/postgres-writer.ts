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

/** For an organization that others have locked a group waits in turn, and so long at a time. */
const turnMilliseconds = 200

export interface PostgresWriterNeeds {
  connect(): Promise<PostgresConnection>
  /** Milliseconds from the call of an operation until it is refused, unless it is under way. */
  readonly patience: number
  /** The `lock_timeout` of the connections. */
  readonly lockMilliseconds: number
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
  /** Whose organization it changes, if it may share a transaction. */
  readonly project: string | undefined
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

export function createPostgresWriter(needs: PostgresWriterNeeds): PostgresWriter {
  const { connect, patience, lockMilliseconds } = needs
  let waiting: Call[] = []
  /** Projects whose organizations others had locked when the last group wanted them. */
  let busy: ReadonlySet<string> = new Set()
  /** Why the last group came to nothing, since when none has come to its end. */
  let trouble: unknown
  let connection: PostgresConnection | undefined
  let working: Promise<void> | undefined

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      rejectLate()
      const group = takeGroup()
      if (group.length === 0) break
      try {
        connection ??= await connect()
        const waits = isAllThatCanBeDone(group) ? { lockMilliseconds } : undefined
        const done = await commitTogether(connection, group, waits)
        busy = done.busy
        trouble = undefined
        // They come first the next time, in the order in which they came.
        waiting.unshift(...group.filter((call) => !done.outcomes.has(call)))
        for (const [call, outcome] of done.outcomes) settle(call, outcome)
      } catch (error) {
        drop()
        busy = new Set()
        const fault = faultOf(error)
        const mayHelp = fault === 'lost' || fault === 'again'
        if (mayHelp) {
          trouble = toMetadataError(error)
          waiting.unshift(...group)
          await delay(50)
        } else for (const call of group) call.reject(toMetadataError(error))
      }
    }
    working = undefined
  }

  /**
   * Takes what can share a transaction, or one operation that cannot, and passes over what others have locked
   * as long as there is anything else. The next group has it again.
   */
  function takeGroup(): Call[] {
    const free = waiting.filter(({ project }) => project === undefined || !busy.has(project))
    const from = free.length > 0 ? free : waiting
    const others = from.findIndex((call) => !isShared(call.name))
    const shared = others === -1 ? from.length : others
    const group = new Set(from.slice(0, Math.min(Math.max(shared, 1), groupSize)))
    waiting = waiting.filter((call) => !group.has(call))
    return [...group]
  }

  /** Whether all that waits behind a group wants the same organizations, so that nobody is kept by its waiting. */
  function isAllThatCanBeDone(group: readonly Call[]): boolean {
    const projects = new Set([...busy, ...group.map(({ project }) => project)])
    return waiting.every(({ project }) => project !== undefined && projects.has(project))
  }

  /** All that wait for longer than they should. */
  function rejectLate(): void {
    const error = trouble ?? new MetadataError('busy', 'The operation waited for too long.')
    const now = performance.now()
    const late = waiting.filter(({ deadline }) => deadline <= now)
    if (late.length === 0) return
    waiting = waiting.filter(({ deadline }) => deadline > now)
    for (const call of late) call.reject(error)
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
        const [project, deadline] = [projectOf(name, args), performance.now() + patience]
        waiting.push({ name, args, project, deadline, resolve, reject })
        working ??= Promise.resolve().then(work)
      })
    },
    async close() {
      await working
      await connection?.close()
    },
  }
}

function settle(call: Call, outcome: Outcome): void {
  if ('result' in outcome) call.resolve(outcome.result)
  else call.reject(outcome.error)
}

interface Done {
  /** Of each operation what came of it, but of those whose organizations others have locked. */
  readonly outcomes: Map<Call, Outcome>
  /** The projects of those organizations. */
  readonly busy: ReadonlySet<string>
}

/**
 * Runs operations in one transaction, of which each takes effect as a whole or not at all.
 *
 * @param waits where it may wait for an organization, should others have locked all that it needs.
 * @throws where the transaction has no effect, or it is not known whether it has.
 */
async function commitTogether(
  connection: PostgresConnection,
  group: readonly Call[],
  waits: Waits | undefined,
): Promise<Done> {
  const begun = connection.query('begin')
  begun.catch(() => {})
  const busy = await lockFor(connection, group, waits)
  // Without it each statement would be a transaction of its own.
  await begun
  const outcomes = new Map<Call, Outcome>()
  const ready = group.filter(({ project }) => project === undefined || !busy.has(project))
  if (ready.length === 0) {
    send(connection, 'rollback')
    return { outcomes, busy }
  }
  for (const call of ready) {
    send(connection, 'savepoint operation')
    try {
      const result = await runOperation(connection.db, call.name, call.args)
      send(connection, 'release savepoint operation')
      outcomes.set(call, { result })
    } catch (error) {
      if (isOfAll(error)) throw error
      send(connection, 'rollback to savepoint operation')
      const isRefusal = error instanceof Refusal
      outcomes.set(call, isRefusal ? { result: error.outcome } : { error: toMetadataError(error) })
    }
  }
  await commit(connection)
  return { outcomes, busy }
}

/** Whether an error of one operation is one of all that share its transaction. */
function isOfAll(error: unknown): boolean {
  const fault = faultOf(error)
  return fault !== undefined && fault !== 'locked' && fault !== 'late'
}

interface Waits {
  readonly lockMilliseconds: number
}

/**
 * Locks the organizations of a group, so that nobody else changes what is theirs: those that are free. If none
 * is, and it may wait, it waits for the first one in turn, as servers that share one would else starve each other.
 *
 * @returns the projects whose organizations others have locked.
 */
async function lockFor(
  connection: PostgresConnection,
  group: readonly Call[],
  waits: Waits | undefined,
): Promise<Set<string>> {
  const wanted = new Set(group.flatMap(({ project }) => project ?? []))
  const [first] = wanted
  if (first === undefined) return new Set()
  const busy = await lockProjects(connection, [...wanted], 'skip locked')
  const isAnyFree = group.some(({ project }) => project === undefined || !busy.has(project))
  if (isAnyFree || waits === undefined) return busy
  send(connection, `set local lock_timeout = ${turnMilliseconds}`)
  try {
    await lockProjects(connection, [first], '')
  } catch (error) {
    if (faultOf(error) === 'locked') return busy
    throw error
  }
  send(connection, `set local lock_timeout = ${waits.lockMilliseconds}`)
  busy.delete(first)
  return busy
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
