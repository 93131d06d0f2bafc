export * from './file.ts'
export * from './limits.ts'
export * from './problem.ts'
export * from './purpose.ts'
