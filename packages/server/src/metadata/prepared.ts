/** Queries of the hottest operations: to compile one takes several times as long as to run it. */

import type { Compilable, CompiledQuery, DialectAdapter, QueryResult } from 'kysely'
import type { Database } from './tables.ts'

/** Stands in a query for a value that each run gives. */
class Placeholder {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/**
 * Makes an operation of one query, which is compiled once for each kind of database.
 *
 * @param build puts each of its values into the query as it is: they are placeholders, so that it
 *   can neither look at one nor take it apart, as `in` would a list.
 */
export function prepared<Values extends object, Row>(
  build: (db: Database, values: Values) => Compilable<Row>,
): (db: Database, values: Values) => Promise<QueryResult<Row>> {
  const compiled = new WeakMap<DialectAdapter, CompiledQuery<Row>>()
  const placeholders = new Proxy({} as Values, {
    get: (_, name) => new Placeholder(String(name)),
  })

  return (db, values) => {
    const { adapter } = db.getExecutor()
    let query = compiled.get(adapter)
    if (query === undefined) {
      query = build(db, placeholders).compile()
      compiled.set(adapter, query)
    }
    const parameters = query.parameters.map((parameter) => {
      return parameter instanceof Placeholder ? Reflect.get(values, parameter.name) : parameter
    })
    return db.executeQuery<Row>({ ...query, parameters })
  }
}
