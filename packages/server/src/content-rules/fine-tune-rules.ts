/**
 * What each line of a training file has to be (contract §6.1). The shape is told by its marks; lines
 * that have none of them are of a kind that is not known here.
 */

import { missing, type Tell, wrongType, wrongValue } from './fault.ts'
import { isObject, type JsonObject, ownValue } from './json-objects.ts'

const roles = ['system', 'developer', 'user', 'assistant', 'tool', 'function']

/** Beside the messages of a chat; whatever else there is, a grader of reinforcement is given. */
const chatFields = ['messages', 'tools', 'parallel_tool_calls', 'functions', 'function_call']

const completionFields = ['prompt', 'completion']

/** @param isStrict whether a line of an unknown shape is a fault. */
export function checkTrainingLine(line: JsonObject, tell: Tell, isStrict: boolean): void {
  if (has(line, 'messages')) checkChat(line, tell)
  else if (has(line, 'preferred_output') || has(line, 'non_preferred_output')) {
    checkPreference(line, tell)
  } else if (isCompletion(line)) checkCompletion(line, tell)
  else if (isStrict) tell(unknownShape)
}

/** Trainers other than the vendor's have more beside a prompt, or messages in place of it. */
function isCompletion(line: JsonObject): boolean {
  const entries = Object.entries(line)
  return (
    entries.length > 0 &&
    entries.every(([key, value]) => completionFields.includes(key) && !Array.isArray(value))
  )
}

const unknownShape = {
  code: 'unknown_shape',
  message: 'This line has the shape of no training example that is known.',
  param: null,
  expected: "'messages', 'prompt' and 'completion', or 'input' and its outputs",
}

/** Programs write null for what there is not. */
function has(line: JsonObject, key: string): boolean {
  return given(line, key) !== undefined
}

function given(line: JsonObject, key: string): unknown {
  return ownValue(line, key) ?? undefined
}

function checkChat(line: JsonObject, tell: Tell): void {
  const messages = ownValue(line, 'messages')
  checkMessages(messages, 'messages', tell)
  checkTools(line, '', tell)
  if (!Array.isArray(messages) || messages.some(isOfAssistant)) return
  if (Object.keys(line).some((key) => !chatFields.includes(key))) return
  tell({
    code: 'missing_assistant_message',
    message: 'A chat must have a message of the assistant, from which to learn.',
    ...{ param: 'messages', expected: "a message whose role is 'assistant'" },
  })
}

function checkCompletion(line: JsonObject, tell: Tell): void {
  for (const key of completionFields) {
    const value = given(line, key)
    if (value === undefined) tell(missing(key))
    else if (typeof value !== 'string') tell(wrongType(key, 'a string'))
  }
}

function checkPreference(line: JsonObject, tell: Tell): void {
  const input = ownValue(line, 'input')
  if (input === undefined) tell(missing('input'))
  else if (!isObject(input)) tell(wrongType('input', 'an object'))
  else {
    checkMessages(ownValue(input, 'messages'), 'input.messages', tell)
    checkTools(input, 'input.', tell)
  }
  for (const key of ['preferred_output', 'non_preferred_output']) {
    const output = ownValue(line, key)
    checkMessages(output, key, tell)
    if (!Array.isArray(output) || output.every(isOfAssistant)) continue
    tell(wrongValue(`${key}[].role`, ['assistant']))
  }
}

function checkMessages(value: unknown, param: string, tell: Tell): void {
  if (value === undefined) {
    tell(missing(param))
    return
  }
  if (!Array.isArray(value)) {
    tell(wrongType(param, 'an array of messages'))
    return
  }
  if (value.length === 0) {
    tell(wrongType(param, 'an array of at least one message'))
    return
  }
  for (let index = 0; index < value.length; index += 1) {
    checkMessage(value[index], () => `${param}[${index}]`, tell)
  }
}

/** @param name gives the message's own: to make those of all would take a tenth of the time. */
function checkMessage(message: unknown, name: () => string, tell: Tell): void {
  if (!isObject(message)) {
    tell(wrongType(name(), 'an object'))
    return
  }
  const role = ownValue(message, 'role')
  if (role === undefined) tell(missing(`${name()}.role`))
  else if (typeof role !== 'string' || !roles.includes(role)) {
    tell(wrongValue(`${name()}.role`, roles))
  }
  checkContent(message, name, tell)
  const weight = given(message, 'weight')
  if (weight !== undefined && weight !== 0 && weight !== 1) {
    tell(wrongValue(`${name()}.weight`, [0, 1]))
  }
}

function checkContent(message: JsonObject, name: () => string, tell: Tell): void {
  const content = given(message, 'content')
  if (typeof content === 'string' || Array.isArray(content)) return
  if (content !== undefined) tell(wrongType(`${name()}.content`, 'a string or an array'))
  else if (!saysOtherwise(message)) tell(missing(`${name()}.content`))
}

/** An assistant may call tools, refuse, think or speak, and write nothing. */
function saysOtherwise(message: JsonObject): boolean {
  if (['system', 'developer', 'user'].includes(String(ownValue(message, 'role')))) return false
  return Object.keys(message).some((key) => !aroundContent.includes(key) && has(message, key))
}

const aroundContent = ['role', 'content', 'name', 'weight']

function checkTools(object: JsonObject, prefix: string, tell: Tell): void {
  const tools = given(object, 'tools')
  if (tools !== undefined && !(Array.isArray(tools) && tools.every(isObject))) {
    tell(wrongType(`${prefix}tools`, 'an array of objects'))
  }
  const parallel = given(object, 'parallel_tool_calls')
  if (parallel !== undefined && typeof parallel !== 'boolean') {
    tell(wrongType(`${prefix}parallel_tool_calls`, 'true or false'))
  }
}

function isOfAssistant(message: unknown): boolean {
  return isObject(message) && ownValue(message, 'role') === 'assistant'
}
