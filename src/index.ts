/**
 * The library's public door.
 *
 *     import { createAqueduct } from '@aqueduct-mq/aqueduct'
 *     const { aedes, close } = await createAqueduct({ store: { path: './data' } })
 *     net.createServer(aedes.handle).listen(1883)
 */
export { type App, type AppOptions, type Aqueduct, type AqueductOptions, createAqueduct, startApp } from './app.js'
export { type ScramOptions, scram } from './auth/index.js'
export { type ScramCredentialOptions, scramCredential, scramUserLine } from './auth/user-line.js'
export type { AuthClient, AuthExchange, AuthMethod, AuthMethodOptions, AuthStep } from './broker/auth-method.js'
export type { Broker, Found } from './broker/broker.js'
export type { BrokerApi, Plugin } from './broker/plugin.js'
export type { BrokerSettings } from './broker/settings.js'
export type { ConsumeOptions } from './client/consume-options.js'
export type { Consumer, ConsumerCounts, Handler, Handling } from './client/consumer.js'
export { Stopped } from './client/job.js'
export type { Received } from './client/source.js'
export { makeSettings } from './config/load.js'
export type { Settings, SettingsInput } from './config/schema.js'
export { AqueductError, type ErrorCode, hasCode } from './core/errors.js'
export { type BridgeOptions, type Bridges, bridge, type ListedRule, type Rule, type RuleCounts } from './plugins/bridge/index.js'
export { type ConsumersOptions, consumers } from './plugins/consumers/index.js'
export { type DurableQueuesOptions, durableQueues } from './plugins/durable-queues/index.js'
export { type QosRetryOptions, qosRetry } from './plugins/qos-retry/index.js'
