/**
 * Places for sockets, shared by all listeners: the file descriptors that connections may have. What does not get one is closed at once, so that the store
 * and those who are in keep theirs.
 *
 * Always true: `open` is what was taken and not given back. A place that was made by ending somebody is taken at once, before that one's descriptor is free:
 * so there may be one more for a moment.
 */
export class Places {
  open = 0
  readonly max: number
  /** Asked when all are taken: true when somebody was ended for it. */
  makeRoom: () => boolean = () => false
  private readonly refused: () => void

  /** `refused`: told of each that gets no place. */
  constructor(max: number, refused: () => void = () => {}) {
    this.max = max
    this.refused = refused
  }

  /** False: close it. Else call `leave` once when it is closed. */
  take(): boolean {
    if (this.open >= this.max && !this.makeRoom()) {
      this.refused()
      return false
    }
    this.open++
    return true
  }

  leave(): void {
    this.open--
  }
}
