/** Errors as they go over the wire, and the table that says how each is answered. */

import { z } from 'zod'

interface ProblemRow {
  readonly status: number
  readonly type: 'invalid_request_error' | 'server_error'
  /** The envelope's `code`, which the vendor leaves null in most Files errors (contract §2). */
  readonly wireCode: string | null
  /** Whether sending the same again can help; the SDKs retry 408, 409, 429 and 5xx unless told. */
  readonly retry: boolean
}

function refusal(status: number, wireCode: string | null = null): ProblemRow {
  return { status, type: 'invalid_request_error', wireCode, retry: false }
}

/** Every error the service can answer with, by Coffer's own code. */
export const problems = {
  api_key_missing: refusal(401),
  api_key_invalid: refusal(401, 'invalid_api_key'),
  organization_mismatched: refusal(401, 'mismatched_organization'),
  project_mismatched: refusal(401, 'mismatched_project'),

  content_type_unsupported: refusal(415, 'unsupported_content_type'),
  form_malformed: refusal(400),
  property_missing: refusal(400),
  property_unknown: refusal(400),
  property_repeated: refusal(400),
  property_too_long: refusal(400),
  purpose_invalid: refusal(400),
  filename_invalid: refusal(400, 'invalid_filename'),
  content_refused: refusal(400),
  value_invalid: refusal(400, 'invalid_value'),
  integer_invalid: refusal(400, 'invalid_type'),
  integer_below_min: refusal(400, 'integer_below_min_value'),
  integer_above_max: refusal(400, 'integer_above_max_value'),
  query_invalid: refusal(400),
  file_too_large: refusal(413),
  quota_exceeded: refusal(400),
  upload_too_slow: refusal(400),

  json_malformed: refusal(400),
  parameter_missing: refusal(400, 'missing_required_parameter'),
  parameter_unknown: refusal(400, 'unknown_parameter'),
  parameter_type_invalid: refusal(400, 'invalid_type'),
  string_too_long: refusal(400, 'string_above_max_length'),
  array_too_long: refusal(400, 'array_above_max_length'),
  upload_not_found: refusal(404),
  upload_not_pending: refusal(400),
  part_too_large: refusal(413),
  part_beyond_upload: refusal(400),
  parts_too_many: refusal(400),
  part_damaged: refusal(400),
  part_unknown: refusal(400, 'invalid_value'),
  parts_missized: refusal(400),
  content_md5_differs: refusal(400),
  // The statuses are those of tus 1.0.
  offset_differs: refusal(409),
  upload_gone: refusal(410),
  checksum_invalid: refusal(400),
  checksum_differs: refusal(460),
  tus_version_unsupported: refusal(412),

  file_not_found: refusal(404),
  download_not_allowed: refusal(400),
  range_not_satisfiable: refusal(416, 'range_not_satisfiable'),

  route_not_found: refusal(404),
  method_not_allowed: refusal(405),
  request_malformed: refusal(400),
  expectation_failed: refusal(417),
  request_timeout: { ...refusal(408, 'request_timeout'), retry: true },
  headers_too_large: refusal(431),
  storage_full: {
    status: 507,
    type: 'server_error',
    wireCode: 'insufficient_storage',
    retry: false,
  },
  content_damaged: {
    status: 500,
    type: 'server_error',
    wireCode: 'file_content_unavailable',
    retry: false,
  },
  service_unavailable: { status: 503, type: 'server_error', wireCode: null, retry: true },
  server_error: { status: 500, type: 'server_error', wireCode: null, retry: true },
} as const satisfies Record<string, ProblemRow>

export type ProblemCode = keyof typeof problems

/** One thing that is wrong with a file's content. */
export const ContentFault = z
  .object({
    line: z.int().min(1).nullable().describe('Null where it is the file as a whole.'),
    offset: z.int().min(0).nullable().describe("Of the line's first byte in the file."),
    code: z.string(),
    message: z.string(),
    param: z.string().nullable().describe('The parameter that is meant, if it is one.'),
    expected: z.string().describe('What would have been right.'),
  })
  .describe("What is wrong with a file's content.")
export type ContentFault = z.infer<typeof ContentFault>

export const Problem = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
    details: z
      .array(ContentFault)
      .optional()
      .describe('The first hundred faults of content that was refused; an extension.'),
    details_total: z.int().min(1).optional().describe('How many faults there are in all.'),
  })
  .describe('Why a request failed.')
export type Problem = z.infer<typeof Problem>

export function toProblem(code: ProblemCode, message: string, param: string | null): Problem {
  const { type, wireCode } = problems[code]
  return { error: { message, type, param, code: wireCode } }
}
