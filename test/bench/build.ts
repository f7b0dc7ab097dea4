/** Compiles the load generator and the disk probe into a git-ignored folder, when their sources are newer. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export const HERE = import.meta.dirname
export const ROOT = join(HERE, '..', '..')
export const BUILD = join(HERE, 'build')

const MQLOAD = ['main.c', 'modes.c', 'pump.c', 'mqtt.c', 'conn.c', 'util.c']
const DISK = ['disk.c', 'util.c']
const QLOAD = ['qload.c', 'util.c']

/** Absolute path of a program, also from the sbin folders that a user's PATH may lack; undefined when it is not there. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders.map((folder) => join(folder || '.', name)).find((path) => existsSync(path))
}
export function findCompiler(): string | undefined {
  return findProgram('cc') ?? findProgram('gcc') ?? findProgram('clang')
}

export interface Tools {
  readonly mqload: string
  readonly disk: string
  readonly qload: string
}

/** @throws Error when no C compiler is there or the sources do not compile. */
export function buildTools(dir: string = BUILD): Tools {
  const compiler = findCompiler()
  if (compiler === undefined) throw new Error('no C compiler found (cc, gcc or clang); on Debian: apt-get install gcc libc6-dev')
  mkdirSync(dir, { recursive: true })
  const load = join(HERE, 'load')
  const newest = Math.max(...readdirSync(load).map((file) => statSync(join(load, file)).mtimeMs))
  const make = (name: string, sources: readonly string[]): string => {
    const target = join(dir, name)
    if (existsSync(target) && statSync(target).mtimeMs > newest) return target
    const fresh = `${target}.${process.pid}`
    const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror']
    execFileSync(compiler, [...flags, '-o', fresh, ...sources.map((file) => join(load, file))], {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    renameSync(fresh, target) // two runs at once must not see half a program
    return target
  }
  return { mqload: make('mqload', MQLOAD), disk: make('disk', DISK), qload: make('qload', QLOAD) }
}
