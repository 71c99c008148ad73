/* The decision log, the board and the packs (PROTOCOL.md, section 13).
 *
 * Comments such as "5.2 step 3" name the numbered step of PROTOCOL.md that the lines below them stand for, and
 * "label x" there is a label here: tests/boundary/test_model_map.py holds the two to each other.
 *
 * chain.pml shows that a spec's chain settles at most once, whatever happens. So here a chain is one cell that is set
 * once: `end_of`. Each log entry issues at most one spec, which has the entry's number. Trials have two rungs: a trial's
 * first spec ends in rung 0; the better one of those that have come in (trial 0 beats trial 1) is promoted, once.
 *
 * Coordinators keep nothing from one tick to the next. So what matters of them is their requests: NC entries or stop
 * links, each decided on the log up to its head and on any subset of the chains that had ended then, arrive at any time
 * after that, in any order, or never. Workers settle what a board line names, from any board of any age. Users stop
 * a trial or open the study again, USERS times.
 *
 * Sizes: NC requests of coordinators under way, NT trials, NL entries, USERS.
 * -DLIVE: no safety; the study ends, if faults are finitely many (LOSSES requests, USERS) and processes fair.
 * -DM_...: mutants, each of which must fail.
 */
#ifndef NC
#define NC 2
#endif
#ifndef NT
#define NT 2
#endif
#ifndef NL
#define NL 7
#endif
#ifndef USERS
#define USERS 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#define NP 2                     /* entries of a pack (5.13: 64) */

/* decisions */
#define ABSENT  0                /* no entry */
#define FACTS   1                /* facts alone */
#define NEW     2                /* issue the next trial's first spec */
#define PROMOTE 3                /* issue a trial's spec of rung 1 */
#define AGAIN   4                /* issue once more what was stopped while its trial was not */
#define FINISH  5
#define HALT    6                /* by a user: stop trial 0 */
#define REOPEN  7                /* by a user: resume, limits */
#define STOP_LINK 8              /* a request that is not an entry */
#define issues(x) ((x)==NEW || (x)==PROMOTE || (x)==AGAIN)

/* how a chain ended; a fail is a done with another loss */
#define OPEN    0
#define DONE    1
#define STOPPED 2

#define B(x) (1<<(x))

byte what[NL]; byte trial[NL]; short facts[NL]; byte tok[NL];    /* the log; facts: specs whose end an entry tells, as bits */
byte end_of[NL];                 /* the chains of the specs that the entries issued */
byte pack_what[NP]; byte pack_trial[NP]; short pack_facts[NP];   /* a pack: copies; what[0] = ABSENT where there is none */
#ifdef LIVE
short board_lines = 0;           /* what the board offers, specs as bits */
byte losses = 0;
#else
short closed_at = 0;           /* ghost: after which numbers of entries the study has ended and all is settled, as bits */
#endif
byte req_w[NC+1]; byte req_n[NC+1]; byte req_t[NC+1]; short req_f[NC+1];    /* under way: an entry, or STOP_LINK for spec n; */
#define USERS_OWN NC             /* the last place is the user's */
byte asked = 0;                  /* users' requests so far: the token of the newest */
byte recorded[USERS+1];          /* ghost: how often each of them stands in the log */

/* 5.10: what follows from the entries 0 .. head-1, of the log as it stands (NOW, a ghost) and of a reader (VIEW) */
#define NOW  0
#define VIEW 1                   /* only within one step */
byte head[2]; byte trials[2]; bool finished[2];
short issued[2]; short settled[2];    /* specs, as bits */
byte ranked[2]; byte promoted[2]; byte halted[2]; byte waits[2];    /* trials, as bits; ranked: in rung 0 */

inline clear_view() {
  head[VIEW] = 0; trials[VIEW] = 0; finished[VIEW] = false; issued[VIEW] = 0; settled[VIEW] = 0;
  ranked[VIEW] = 0; promoted[VIEW] = 0; halted[VIEW] = 0; waits[VIEW] = 0
}

inline settle(F, mask) {         /* label settle: 5.10 step 2 */
  i = 0;
  do
  :: i<NL && (mask & B(i)) ->
     assert((issued[F] & B(i)) && !(settled[F] & B(i)));   /* issued, and not settled before: no fact twice */
     settled[F] = settled[F] | B(i);
     if
     :: end_of[i]==DONE && !(promoted[F] & B(trial[i])) -> ranked[F] = ranked[F] | B(trial[i])
     :: end_of[i]==STOPPED && !(halted[F] & B(trial[i])) -> waits[F] = waits[F] | B(trial[i])
     :: else
     fi;
     i++
  :: i<NL && !(mask & B(i)) -> i++
  :: i==NL -> break
  od;
  i = 0
}

inline one_spec(F, t) {          /* label one_spec: 5.10 step 3: the trial's newest spec is settled */
  i = 0;
  do
  :: i<head[F] -> assert(!(issued[F] & ~settled[F] & B(i)) || trial[i]!=t); i++
  :: else -> break
  od;
  i = 0; issued[F] = issued[F] | B(head[F])
}

inline decided(F, w, t) {        /* label decided: 5.10 steps 3 and 4; 5.10 step 6 */
  if
  :: w==FACTS
  :: w==NEW -> assert(t==trials[F]); trials[F]++; one_spec(F, t)     /* no number twice */
  :: w==PROMOTE ->
     assert((ranked[F] & B(t)) && !(halted[F] & B(t)) && promoted[F]==0);    /* from a rung, once, no more than its share */
     promoted[F] = promoted[F] | B(t); one_spec(F, t)
  :: w==AGAIN -> assert(waits[F] & B(t)); waits[F] = waits[F] & ~B(t); one_spec(F, t)
  :: w==FINISH -> assert(!finished[F]); finished[F] = true
  :: w==HALT -> halted[F] = halted[F] | B(t); waits[F] = waits[F] & ~B(t)
  :: w==REOPEN -> finished[F] = false
  fi;
  head[F]++
}

inline land(n_, w_, t_, f_) {    /* label land: 2.1, create; what lands is held against the whole log: 5.10 step 8 */
  assert(n_==head[NOW]);         /* label contiguous: 5.2 step 1; and no number is taken twice */
  i = 0;
  do :: i<NL -> assert(!(f_ & B(i)) || end_of[i]!=OPEN); i++ :: else -> break od;    /* label true: 5.11 step 5, facts are so */
  i = 0;
  what[n_] = w_; trial[n_] = t_; facts[n_] = f_;
  if
  :: q==USERS_OWN -> tok[n_] = asked; recorded[asked]++; assert(recorded[asked]==1)    /* label once: a user's wish stands once */
  :: else
  fi;
  settle(NOW, f_);
  decided(NOW, w_, t_);
#ifndef LIVE
  if :: finished[NOW] && issued[NOW]==settled[NOW] -> closed_at = closed_at | B(head[NOW]) :: else fi
#endif
}

#ifdef M_OVERWRITE
#define FREE(n) true             /* mutant: the store ignores If-None-Match */
#else
#define FREE(n) (what[n]==ABSENT)
#endif

inline read_log() {              /* label read: 5.2 step 1; 5.13 step 2: a pack if there is one, then entry by entry */
  if
  :: pack_what[0]!=ABSENT -> s = NP
  :: pack_what[0]==ABSENT || what[0]!=ABSENT -> s = 0    /* label unpacked: 5.13 step 3, missing, damaged: the entries themselves */
  fi;
  do
  :: head[VIEW]<NL && (head[VIEW]<s || what[head[VIEW]]!=ABSENT) ->
     n = head[VIEW];
     w = (n<s -> pack_what[n] : what[n]); t = (n<s -> pack_trial[n] : trial[n]); f = (n<s -> pack_facts[n] : facts[n]);
     settle(VIEW, f);
     decided(VIEW, w, t)
  :: else -> break
  od;
  n = 0; w = 0; t = 0; f = 0; s = 0;
  assert(head[VIEW]==head[NOW] && issued[VIEW]==issued[NOW] && settled[VIEW]==settled[NOW] && waits[VIEW]==waits[NOW]
         && promoted[VIEW]==promoted[NOW] && finished[VIEW]==finished[NOW])    /* label same: 5.10, for every reader */
}

/* ---- a coordinator ---- */

#define ACTIVE(s) (issued[VIEW] & ~settled[VIEW] & B(s))
#define UNWANTED(s) (ACTIVE(s) && (finished[VIEW] || (halted[VIEW] & B(trial[s]))))
#define WANTED(s)   (ACTIVE(s) && !finished[VIEW] && !(halted[VIEW] & B(trial[s])) && end_of[s]==OPEN)

inline observe() {               /* label observe: 5.11 steps 2 and 5: any of the chains that have ended */
  s = 0;
  do
  :: s<NL ->
     if
#ifdef M_HINT
     :: ACTIVE(s) -> f = f | B(s)                        /* mutant: a heartbeat says that it has ended, and is believed */
#else
     :: ACTIVE(s) && end_of[s]!=OPEN -> f = f | B(s)
#endif
#ifdef LIVE
     :: else
#else
     :: true
#endif
     fi;
     s++
  :: else -> break
  od;
  s = 0
}

#define LEAST(x) ((x) & 1 -> 0 : ((x) & 2 -> 1 : 2))
#define BEST LEAST(ranked[VIEW] & ~halted[VIEW])
#define PROMOTABLE (promoted[VIEW]==0 && (ranked[VIEW] & ~halted[VIEW])!=0)

inline decide() {                /* label decide: 5.2 step 2, 5.11 step 6; from the fold of 0 .. n-1 and the facts of n alone */
  n = head[VIEW];
  settle(VIEW, f);
  if
  :: finished[VIEW] -> w = (f!=0 -> FACTS : ABSENT)
  :: !finished[VIEW] && waits[VIEW]!=0 -> w = AGAIN; t = LEAST(waits[VIEW])
  :: !finished[VIEW] && waits[VIEW]==0 && PROMOTABLE -> w = PROMOTE; t = BEST
  :: !finished[VIEW] && waits[VIEW]==0 && !PROMOTABLE && trials[VIEW]<NT -> w = NEW; t = trials[VIEW]
  :: !finished[VIEW] && waits[VIEW]==0 && !PROMOTABLE && trials[VIEW]==NT && issued[VIEW]==settled[VIEW] -> w = FINISH
  :: !finished[VIEW] && waits[VIEW]==0 && !PROMOTABLE && trials[VIEW]==NT && issued[VIEW]!=settled[VIEW] ->
     w = (f!=0 -> FACTS : ABSENT)
  :: !finished[VIEW] && ranked[VIEW]!=0 -> w = FINISH; t = 0    /* a limit was reached: facts.now, the best seen */
  fi;
  if :: n>=NL -> w = ABSENT :: else fi;
  if :: w==ABSENT -> n = 0; f = 0; t = 0 :: else fi
}

#define NO_REQUEST(q) req_w[q] = ABSENT; req_n[q] = 0; req_t[q] = 0; req_f[q] = 0
#if defined(M_OVERWRITE) || defined(M_DELETE_ENTRIES)
#define TAKEN(q) (req_w[q]==STOP_LINK && end_of[req_n[q]]!=OPEN)
#else
#define TAKEN(q) (req_w[q]!=ABSENT && (req_w[q]==STOP_LINK -> end_of[req_n[q]]!=OPEN : what[req_n[q]]!=ABSENT))
#endif

inline refuse() {                /* label refuse: 5.2 step 3: whose place is taken has lost, reads, and decides anew */
  q = 0;
  do
  :: q<=NC && TAKEN(q) ->
#ifdef M_SAME_DECISION
     if :: req_w[q]!=STOP_LINK && q!=USERS_OWN && req_n[q]<NL-1 -> req_n[q]++ :: else -> NO_REQUEST(q) fi;    /* mutant: the same, one further */
#else
     NO_REQUEST(q);
#endif
     q++
  :: q<=NC && !TAKEN(q) -> q++
  :: else -> break
  od;
  q = 0
}

inline send(w_, n_, t_, f_) {    /* from here on it may arrive at any time, or never */
  q = 0; do :: req_w[q]!=ABSENT -> q++ :: else -> break od;
  req_w[q] = w_; req_n[q] = n_; req_t[q] = t_; req_f[q] = f_
}

inline arrive() {                /* label arrive: 5.1 step 1: it wins; all others that want its place have lost */
  if
  :: req_w[q]==STOP_LINK -> end_of[req_n[q]] = STOPPED
  :: req_w[q]!=STOP_LINK && FREE(req_n[q]) -> land(req_n[q], req_w[q], req_t[q], req_f[q])
#ifdef M_DELETE_ENTRIES
  :: else
#endif
  fi;
  NO_REQUEST(q);
  refuse()
}

#if NC==1
#define ROOM (req_w[0]==ABSENT)
#elif NC==2
#define ROOM (req_w[0]==ABSENT || req_w[1]==ABSENT)
#else
#define ROOM (req_w[0]==ABSENT || req_w[1]==ABSENT || req_w[2]==ABSENT)
#endif
#ifdef M_NO_STOP                 /* mutant: nobody stops what the log does not want any more */
#define CAN_STOP(s) false
#else
#define CAN_STOP(s) (UNWANTED(s) && end_of[s]==OPEN)
#endif

#define FORGET n = 0; w = 0; t = 0; f = 0; s = 0; q = 0; clear_view()

proctype Coordinators() {
  byte n, w, t, s, q, i; short f;
end:
  do
  :: atomic {                    /* a tick, or what matters of it; what it sends comes late enough, if at all */
       ROOM -> read_log();
#ifndef LIVE
       if
       :: true ->
          observe(); decide();
          if :: w!=ABSENT -> send(w, n, t, f) :: else fi
       :: true ->                /* label stop: 5.11 step 4; any of those that the log does not want any more */
          do :: s<NL -> if :: CAN_STOP(s) -> send(STOP_LINK, s, 0, 0); break :: true -> s++ fi :: else -> break od
       :: true ->                /* label compose: 5.11 step 8: the board, of what the log and the chains say */
          do :: s<NL -> f = f | (WANTED(s) -> B(s) : 0); s++ :: else -> break od;
#ifdef M_EARLY_BOARD
          if :: issues(req_w[0]) -> f = f | B(req_n[0]) :: else fi;    /* mutant: on the board before the entry has won */
#endif
          assert(!(f & ~issued[NOW]))    /* label borne_out: the log bears out every line */
       :: head[NOW]>=NP && pack_what[0]==ABSENT ->    /* label packing: 5.13 step 1 */
          do :: s<NP -> pack_what[s] = what[s]; pack_trial[s] = trial[s]; pack_facts[s] = facts[s]; s++ :: else -> break od
       fi;
#else
       observe(); decide();
       if
       :: w!=ABSENT -> send(w, n, t, f)    /* label append: 5.11 step 7 */
       :: else ->
          do :: s<NL && !CAN_STOP(s) -> s++ :: else -> break od;
          if
          :: s<NL -> send(STOP_LINK, s, 0, 0)
          :: else ->             /* label publish: 5.11 step 8 */
             s = 0; f = 0;
             do :: s<NL -> f = f | (WANTED(s) -> B(s) : 0); s++ :: else -> break od;
             board_lines = f
          fi
       fi;
#endif
       FORGET
     }
  :: atomic {                    /* label network: 2.1 step 5 */
       if
       :: req_w[0]!=ABSENT -> q = 0
#if NC>1
       :: req_w[1]!=ABSENT -> q = 1
#endif
#if NC>2
       :: req_w[2]!=ABSENT -> q = 2
#endif
       :: req_w[USERS_OWN]!=ABSENT -> q = USERS_OWN
       fi;
       if
       :: true -> arrive()
#ifdef LIVE
       :: losses<LOSSES -> losses++; NO_REQUEST(q)
#else
       :: true -> NO_REQUEST(q)    /* lost, given up, or its author is dead */
#endif
       fi;
       q = 0
     }
  od
}

/* ---- workers ---- */

#ifdef LIVE
#define CLAIM(q) ((issued[NOW] & B(q)) && end_of[q]==OPEN -> B(q) : 0)
#define CLAIMABLE (CLAIM(0)|CLAIM(1)|CLAIM(2)|CLAIM(3)|CLAIM(4)|CLAIM(5)|CLAIM(6)|CLAIM(7)|CLAIM(8)|CLAIM(9)|CLAIM(10)|CLAIM(11))

proctype Worker() {              /* label take: 5.3 steps 2 and 6; takes what the board offers */
  byte s;
end:
  do
  :: atomic { board_lines & CLAIMABLE ->
              do :: (board_lines & CLAIMABLE & B(s)) -> break :: !(board_lines & CLAIMABLE & B(s)) -> s++ od;
              end_of[s] = DONE; s = 0 }
  od
}
#else
proctype Worker() {
  byte s, q;
end:
  do
  :: atomic {                    /* any line, from any board, of any age */
       do :: s<NL-1 -> s++ :: break od;
#ifdef M_NO_ENTRY
       end_of[s] = DONE; assert(issued[NOW] & B(s));     /* mutant: the line is not looked up in the log */
#endif
       if                        /* label line: 5.3 step 3, the entry is read; what follows is chain.pml */
       :: issues(what[s]) && end_of[s]==OPEN -> end_of[s] = DONE; refuse()
       :: else
       fi;
       s = 0
     }
  :: atomic {                    /* label leave: 5.3 step 1: a board of any age says `finished`; 6.7: all is settled */
       do :: s<NL -> s++ :: break od;
       if
#ifdef M_STALE_FINISH
       :: (closed_at & B(s)) -> assert(finished[NOW] && issued[NOW]==settled[NOW])  /* mutant: and is believed */
#else
       :: s<NL && (closed_at & B(s)) && what[s]==ABSENT -> assert(finished[NOW] && issued[NOW]==settled[NOW])
#endif
       :: else
       fi;
       s = 0
     }
  od
}
#endif

/* ---- a user ---- */

proctype User() {                /* label user: 5.2 step 4 */
  byte n, w;
  do
  :: atomic { asked<USERS && head[NOW]>0 && req_w[USERS_OWN]==ABSENT -> asked++; if :: w = HALT :: w = REOPEN fi };
look:
     atomic { n = head[NOW]; if :: n==NL -> w = 0; break :: else fi };    /* 5.2 step 1 */
again:
     if
     :: atomic { req_w[USERS_OWN]==ABSENT && FREE(n) -> req_w[USERS_OWN] = w; req_n[USERS_OWN] = n; goto again }    /* 5.1 step 3 */
     :: atomic { what[n]!=ABSENT ->
#ifdef M_USER_TWICE
          goto look              /* mutant: "exists" is taken for "lost" */
#else
          if :: tok[n]==asked :: else -> goto look fi;    /* 5.1 step 2 */
          assert(recorded[asked]==1); n = 0; w = 0
#endif
        }
     :: atomic { true -> n = 0; w = 0 }                  /* gives up: it may land later all the same */
     fi
  :: asked==USERS -> break
  od
}

#ifdef M_DELETE_ENTRIES
active proctype Collector() {    /* mutant: entries are deleted once a pack holds them */
end:
  atomic { pack_what[0]!=ABSENT -> what[0] = ABSENT; what[1] = ABSENT }
}
#endif

init {
  atomic {
    run Coordinators(); run Worker(); run User()
  }
}

#ifdef LIVE
ltl ends { <> [] (finished[NOW] && issued[NOW]==settled[NOW]) }
#endif
