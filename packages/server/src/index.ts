export { type Config, ConfigError, readConfig, type SettingName, settings } from './config.ts'
export { type ServeNeeds, type Server, serve } from './serve.ts'
export type { Clock } from './service/clock.ts'
