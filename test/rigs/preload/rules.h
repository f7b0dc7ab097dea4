/* Rules in the control file: which call on which file fails next, for the damage rig and for the kill rig's faults. Each is a row that the rig
 * writes and arms last, by `times`; here it is counted down. So "the second open of the log fails with EMFILE, once" is one row. */
#include <fnmatch.h>

enum { CALL_OPEN = 1, CALL_READ = 2, CALL_MMAP = 4, CALL_WRITE = 8, CALL_SYNC = 16, CALL_RENAME = 32, CALL_UNLINK = 64 };

struct rule {
  int32_t times;   /* so many calls fail; 0: not armed */
  uint32_t calls;  /* CALL_… */
  int32_t skip;    /* so many matching calls pass first */
  int32_t error;   /* errno; 0: one that fits the call, by chance */
  uint32_t ppm;    /* more than 0: a call fails with this chance, in parts of a million, and `times` is not counted down */
  uint32_t hits;   /* calls that failed */
  int64_t cut;     /* 0 or more: the call does not fail; an open cuts the file to so many bytes instead */
  char match[160]; /* fnmatch pattern of the path below the folder */
};
#define RULES 8

struct control {
  int32_t mode;
  uint32_t chance; /* state of the dice, seeded by the rig; goes on over restarts */
  uint64_t failures;
  char unused[48];
  struct rule rules[RULES];
};

static uint32_t dice(struct control *c) {
  uint32_t x = __atomic_add_fetch(&c->chance, 0x9e3779b9u, __ATOMIC_RELAXED);
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

static int fitting(struct control *c, uint32_t call) {
  static const int opens[] = {EMFILE, EACCES, EIO}, writes[] = {ENOSPC, EIO}, names[] = {EACCES, EIO, ENOSPC};
  uint32_t x = dice(c);
  if (call == CALL_OPEN) return opens[x % 3];
  if (call == CALL_WRITE) return writes[x % 2];
  if (call == CALL_RENAME || call == CALL_UNLINK) return names[x % 3];
  return EIO;
}

/* The errno that this call ends with, or 0. `cut`: where the call is an open that cuts, set to the new size. */
static int ruled(struct control *c, uint32_t call, const char *below, int64_t *cut) {
  if (!c || !below) return 0;
  for (int i = 0; i < RULES; i++) {
    struct rule *r = &c->rules[i];
    if (__atomic_load_n(&r->times, __ATOMIC_ACQUIRE) <= 0 || !(r->calls & call) || fnmatch(r->match, below, 0) != 0) continue;
    if (r->ppm > 0) {
      if (dice(c) % 1000000u >= r->ppm) continue;
    } else {
      if (__atomic_fetch_sub(&r->skip, 1, __ATOMIC_ACQ_REL) > 0) continue;
      if (__atomic_fetch_sub(&r->times, 1, __ATOMIC_ACQ_REL) <= 0) continue;
    }
    __atomic_fetch_add(&r->hits, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&c->failures, 1, __ATOMIC_RELAXED);
    if (r->cut >= 0) {
      if (cut) *cut = r->cut;
      return 0;
    }
    return r->error ? r->error : fitting(c, call);
  }
  return 0;
}
