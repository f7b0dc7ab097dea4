import type { Standard } from './statement.js'
import { mqtt5 } from './statements-5.js'
import { mqtt311 } from './statements-311.js'

export const standards: readonly Standard[] = [mqtt311, mqtt5]
