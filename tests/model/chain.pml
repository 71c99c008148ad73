/* The chain of a spec, and what its attempts leave in storage (PROTOCOL.md, section 13).
 *
 * Comments such as "5.3 step 6" name the numbered step of PROTOCOL.md that the lines below them stand for, and
 * "label x" there is a label here: tests/boundary/test_model_map.py holds the two to each other.
 *
 * The store gives one thing, create-if-absent. Everything else is left to an adversary: any process stands still for
 * any time (interleaving), dies and comes back as another one, gives up; a request is lost, its answer is lost, or it
 * lands at any later time, also after its author has died; coordinators fence anybody at any time; a board is any line.
 *
 * A spec covers two units of training. For each of them an attempt writes a segment, and then commits a checkpoint
 * (one file, then the manifest) or leaves none. Odd links are claims, even ones end them; attempt = link / 2.
 *
 * Sizes: NW workers, NS specs of one trial (2: the first one is done, the second is its promotion), MAXATT max_attempts,
 * RETRIES, MAXTOK tokens (NW to begin with; each death or given up create costs one more), FL requests that may be
 * delayed at the same time. How often requests or answers are lost is not bounded, except for LIVE.
 * -DTIDY: retention (5.5 step 4); -DAGE: also the one of running attempts, harsher than the real one: it keeps one.
 * -DLIVE: no safety; every spec is settled, if faults are finitely many (LOSSES requests, WRONG fences) and processes fair.
 * -DM_...: mutants, each of which must fail.
 */
#ifndef NW
#define NW 2
#endif
#ifndef NS
#define NS 1
#endif
#ifndef MAXATT
#define MAXATT 1
#endif
#ifndef RETRIES
#define RETRIES 1
#endif
#ifndef MAXTOK
#define MAXTOK 3
#endif
#ifndef FL
#define FL 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef WRONG
#define WRONG 1
#endif

#define NA (MAXATT+1)            /* attempts: one more than max_attempts may race the coordinator's stop */
#define NK (2*NA+2)              /* link numbers 0 (the log's issue) to 2 NA + 1 (a stop behind the last attempt) */
#define R  2                     /* units of training: issue.to - issue.start */
#define L(s,k) ((s)*NK+(k))
#define A(s,a) ((s)*NA+(a))
#define SPEC_OF(i) ((i)/NK)
#define ATT_OF(i)  (((i)%NK-1)/2)

/* what stands at a link's key; ISSUED is the log entry, which takes the place of "link 0" */
#define EMPTY   0
#define ISSUED  1
#define CLAIM   2
#define DONE    3
#define FAIL    4                /* retries_left > 0 */
#define FAILED  5                /* retries_left = 0 */
#define RELEASE 6
#define FENCE   7
#define STOP    8
#define MANIFEST 9               /* not a link: the other thing that a request may carry */

#define opens(x)   ((x)==ISSUED || (x)==FENCE || (x)==RELEASE || (x)==FAIL)      /* 4: "open" */
#define settles(x) ((x)==DONE || (x)==FAILED || (x)==STOP)

/* a checkpoint's name: attempt and unit; 0 is none, PARENT the one that the issue names */
#define CK(a,r)  (1+2*(a)+(r)-1)
#define CK_A(c)  (((c)-1)/2)
#define CK_R(c)  (((c)-1)%2+1)
#define PARENT   15
#define BIT(r)   (1<<((r)-1))
#define PARENT_A A(0,CK_A(parent))
#define PARENT_U BIT(CK_R(parent))
#define PARENT_THERE (man[PARENT_A] & files[PARENT_A] & PARENT_U)

/* a done's content: final checkpoint, and which attempt's segment holds the first and the second unit */
#define RECORD(c,x,y) ((c)*16+(x)*4+(y))

#define CREATED 1
#define EXISTS  2
#define UNKNOWN 3

byte kind[NS*NK+1]; byte tok[NS*NK]; byte pay[NS*NK];   /* links: kind (one more, for looks behind the end), token, content */
byte seg[NS*NA];                 /* segments by unit, per attempt */
byte files[NS*NA];               /* checkpoint files by unit */
byte man[NS*NA];                 /* manifests by unit */
byte base[NS*NA];                /* what a manifest says of the first unit: whose segment holds it */
byte gone[NS*NA];                /* ghost: manifests that retention deleted */
byte aged[NS*NA];                /* ghost: those of them that a running attempt deleted */
byte results[NS];                /* ghost: results in the record */
byte final[NS];                  /* the final checkpoint that the done names */
byte net_o[FL]; byte net_i[FL]; byte net_t[FL]; byte net_p[FL];   /* requests that were sent and have not arrived */
byte nexttok = NW+1;
#if NS>1
byte parent = 0;                 /* issue.checkpoint of the second spec */
#endif
#ifdef LIVE
byte losses = 0, wrong = 0;
byte alive[NW];                  /* whose heartbeats change */
bool news = false;               /* a heartbeat has changed since it was last read, and points at the spec */
byte board = 0;                  /* the board's next_link; 0: no line */
byte known = 0;                  /* the coordinator's: number of the last link that it has read */
#define FAULT(c) losses<LOSSES && (c) -> losses++
#else
#define FAULT(c) (c)
#endif

inline tidies(q, v) {            /* one manifest, or the files that it named */
  if
  :: atomic { (man[A(s,q)] & BIT(v)) && p/16!=0 && p/16!=CK(q,v) -> assert(final[s]!=CK(q,v));
              gone[A(s,q)] = gone[A(s,q)] | BIT(v); man[A(s,q)] = man[A(s,q)] & ~BIT(v) }
  :: atomic { (gone[A(s,q)] & files[A(s,q)] & BIT(v)) && p/16!=CK(q,v) -> files[A(s,q)] = files[A(s,q)] & ~BIT(v) }
  fi
}
#ifdef M_TIDY_PARENT             /* mutant: what the spec started from is deleted although it has left nothing newer */
#define PARENT_SUPERSEDED true
#else
#define PARENT_SUPERSEDED (p/16!=0)
#endif

/* ---- the store ---- */

/* label grammar: 4 step 1, checked when a link lands; 4 step 3 is that this never fails */
#define GRAMMAR(i,o,t) ( ((o)==CLAIM && opens(kind[(i)-1])) \
  || (((o)==DONE || (o)==FAIL || (o)==FAILED || (o)==RELEASE) && kind[(i)-1]==CLAIM && tok[(i)-1]==(t)) \
  || ((o)==FENCE && kind[(i)-1]==CLAIM) \
  || ((o)==STOP && (kind[(i)-1]==CLAIM || opens(kind[(i)-1]))) )

#define OWN(i)       A(SPEC_OF(i),ATT_OF((i)-1))         /* the attempt that link i ends */
#define FIRST(i,p)   A(SPEC_OF(i),((p)/4)%4)
#define SECOND(i,p)  A(SPEC_OF(i),(p)%4)
#define FINAL(i,p)   A(SPEC_OF(i),CK_A((p)/16))
#define FINAL_U(p)   BIT(CK_R((p)/16))

inline bears_out(i, p) {         /* label record: 5.7 step 3, what a done names is there, and is one line of training */
  assert(seg[FIRST(i,p)] & BIT(1)); assert(seg[SECOND(i,p)] & BIT(2));
  assert(FIRST(i,p)==OWN(i) || ((man[FIRST(i,p)] | gone[FIRST(i,p)]) != 0));    /* another attempt's only through */
  assert(SECOND(i,p)==OWN(i) || ((man[SECOND(i,p)] | gone[SECOND(i,p)]) & BIT(R)));    /* its manifest, */
  assert(FIRST(i,p)==A(SPEC_OF(i),base[SECOND(i,p)]));   /* and never two attempts' work mixed */
  assert((p)/16==0 || (man[FINAL(i,p)] & files[FINAL(i,p)] & FINAL_U(p)) || (aged[FINAL(i,p)] & FINAL_U(p)));
  results[SPEC_OF(i)]++; assert(results[SPEC_OF(i)]==1); /* one result for a spec */
  final[SPEC_OF(i)] = (p)/16
}

#ifdef M_OVERWRITE               /* mutant: the store ignores If-None-Match; a chain must not go on behind its end */
#define ABSENT(i) true
#define UNCHANGED(i) assert(!settles(kind[i]))
#else
#define ABSENT(i) (kind[i]==EMPTY)
#define UNCHANGED(i) skip
#endif

inline put(i, o, t, p) {
  UNCHANGED(i); assert(GRAMMAR(i,o,t)); kind[i] = o; tok[i] = t; pay[i] = p
}
inline put_done(i, t, p) {
  UNCHANGED(i); assert(GRAMMAR(i,DONE,t)); bears_out(i,p); kind[i] = DONE; tok[i] = t
}
inline put_manifest(i, p) {
  assert((files[i] | gone[i]) & p);                      /* label order: 5.5 steps 2 and 3: the files come first, */
  assert((seg[A((i)/NA,base[i])] & BIT(1)) && (p==BIT(1) || (seg[i] & BIT(2))));    /* 5.5 step 1: the segments before them */
  man[i] = man[i] | p
}

#define PLACE(q,o,i,t,p) net_o[q] = o; net_i[q] = i; net_t[q] = t; net_p[q] = p
#if FL>1
#define ROOM (net_o[0]==EMPTY || net_o[1]==EMPTY)
#define SEND(o,i,t,p) if :: net_o[0]==EMPTY -> PLACE(0,o,i,t,p) :: else -> PLACE(1,o,i,t,p) fi
#else
#define ROOM (net_o[0]==EMPTY)
#define SEND(o,i,t,p) PLACE(0,o,i,t,p)
#endif
#define CLEAR(q) net_o[q] = EMPTY; net_i[q] = 0; net_t[q] = 0; net_p[q] = 0
#if defined(TIDY) || defined(AGE)
#define INERT(q) (net_o[q]!=EMPTY && net_o[q]!=MANIFEST && kind[net_i[q]]!=EMPTY)
#else
#define INERT(q) (net_o[q]!=EMPTY && (net_o[q]!=MANIFEST -> kind[net_i[q]]!=EMPTY : (man[net_i[q]] & net_p[q])))
#endif

inline forget() {                /* requests that would change nothing any more: fewer states, the same behaviour */
  if :: INERT(0) -> CLEAR(0) :: else fi;
#if FL>1
  if :: INERT(1) -> CLEAR(1) :: else fi
#endif
}

inline create(i, o, t, p) {      /* label create: 5.1 steps 1 to 3, one try, as its author sees it; within an atomic */
  if
  :: ABSENT(i) -> put(i, o, t, p); r = CREATED           /* label land: 2.1, create: where nothing is; 4 step 2 */
  :: !(ABSENT(i)) -> r = EXISTS
  :: FAULT(ABSENT(i)) -> put(i, o, t, p); r = UNKNOWN    /* the answer was lost */
  :: FAULT(true) -> r = UNKNOWN                          /* the request was lost */
  :: FAULT(ROOM && ABSENT(i)) -> SEND(o,i,t,p); r = UNKNOWN    /* it is under way */
  fi;
  forget()
}

inline create_done(i, t, p) {
  if
  :: ABSENT(i) -> put_done(i, t, p); r = CREATED
  :: !(ABSENT(i)) -> r = EXISTS
  :: FAULT(ABSENT(i)) -> put_done(i, t, p); r = UNKNOWN
  :: FAULT(true) -> r = UNKNOWN
  :: FAULT(ROOM && ABSENT(i)) -> SEND(DONE,i,t,p); r = UNKNOWN
  fi;
  forget()
}

inline close_another(i, o) {     /* a coordinator's create, of a link that it has just read as absent */
  if
  :: put(i, o, 0, 0)
  :: FAULT(true)
  :: FAULT(ROOM) -> SEND(o,i,0,0)
  fi;
  forget()
}

#define TRUE_KEY(i) assert(tok[L(s,k)]==me && (i)==A(s,ATT_OF(L(s,k))))    /* label own_keys: 4 step 4 */

inline arrives(q) {
  atomic {
    net_o[q]!=EMPTY ->
    if
    :: net_o[q]==DONE -> put_done(net_i[q], net_t[q], net_p[q])
    :: net_o[q]<=STOP && net_o[q]!=DONE -> put(net_i[q], net_o[q], net_t[q], net_p[q])
    :: net_o[q]==MANIFEST -> put_manifest(net_i[q], net_p[q])
    :: true                      /* or it never does */
    fi;
    CLEAR(q);
#if FL>1
    if :: INERT(1-q) -> CLEAR(1-q) :: else fi
#endif
  }
}

active proctype Net() {          /* label network: 2.1 step 5: what was sent lands at any later time, or never */
end:
  do
  :: arrives(0)
#if FL>1
  :: arrives(1)
#endif
  od
}

/* ---- a worker ---- */

/* Segments and files are named by nothing yet: one that lands late changes nothing. A manifest may land late. */
#define WRITE(where,i,v) TRUE_KEY(i); where[i] = where[i] | v

inline best_start(mask) {         /* label start: 5.6 step 1; the newest own checkpoint, else the issue's, else the beginning */
  p = 0; u = R;
  do
  :: u>0 && p==0 -> j = (k-1)/2;
     do
     :: j>0 && p==0 -> j--; if :: man[A(s,j)] & (files[A(s,j)] | mask) & BIT(u) -> p = CK(j,u) :: else fi
     :: else -> break
     od;
     u--
  :: else -> break
  od;
#if NS>1
  assert(p!=0 || s==0 || PARENT_THERE || final[1]!=0 || (aged[PARENT_A] & PARENT_U));    /* label promoted: what the issue */
  if                             /* names is there, until this spec has left its own */
  :: p==0 && s==1 && (man[PARENT_A] & (files[PARENT_A] | mask) & PARENT_U) -> p = PARENT
  :: else
  fi;
#endif
  u = 0; j = 0
}

#define RESET s = NS-1; k = 0; r = 0; p = 0; u = 0; j = 0; st = 0; own = 0
#define HERE  A(s,ATT_OF(L(s,k)))
#define NEXT  (L(s,k)+1)
#define MINE(i,o) (kind[i]==(o) && tok[i]==me)
#define CLOSED_BY_OTHERS (kind[NEXT]==FENCE || kind[NEXT]==STOP)

/* label dies: 5.1 step 4, 5.3 step 6, 5.8 step 1; who goes on has a new token, and nothing is taken back */
#define DIES  :: atomic { nexttok<=MAXTOK -> goto boot }
/* label drops: 5.4 step 1, 5.8 steps 2 and 3; a look shows what was so before; given up without one, too */
#ifdef LIVE
#define DROPS :: atomic { kind[NEXT]!=EMPTY -> goto dropped }
#define HEARTBEAT news = true
#else
#define DROPS :: atomic { true -> goto dropped }
#define HEARTBEAT skip
#endif

inline retention() {             /* label retention: 5.5 step 4; any part of it may stay undone */
  do
  :: tidies(0, 1)
  :: tidies(0, 2)
#ifndef LIVE
  :: tidies(1, 1)
#if NA>2
  :: tidies(1, 2)                /* of the last attempt there may be, the last unit's is the final one */
  :: tidies(2, 1)
#endif
#endif
#if NS>1
  :: atomic { s==1 && PARENT_SUPERSEDED && (man[PARENT_A] & PARENT_U) -> assert(final[1]!=0);
              gone[PARENT_A] = gone[PARENT_A] | PARENT_U; man[PARENT_A] = man[PARENT_A] & ~PARENT_U }
  :: atomic { s==1 && PARENT_SUPERSEDED && (gone[PARENT_A] & files[PARENT_A] & PARENT_U) ->
              files[PARENT_A] = files[PARENT_A] & ~PARENT_U }
#endif
  :: break
  od
}

proctype Worker(byte w, me) {
  byte s = NS-1, k, r, p, u, j, st, own;
#ifdef LIVE
  byte tried;                    /* the line that was dropped last */
#endif
#if NS>1
  if :: atomic { me==1 -> s = 0; k = 1; p = RECORD(parent,0,0); goto tidy } :: else fi;    /* it has just closed the first spec */
#endif
  goto pick;
boot:                            /* another one in its place */
  atomic {
    me = nexttok; nexttok++;
#ifdef LIVE
    alive[w] = me; tried = 0;
#endif
    goto rest
  }
closed:                          /* 5.7 step 5 */
  HEARTBEAT;
dropped:                         /* 5.4 step 1: drop all of it, write nothing more */
rest:
  atomic { RESET }
pick:                            /* 5.3 step 2: any line */
end:
  atomic {
#ifdef LIVE
    settles(kind[known]) || (board!=0 && board!=tried) ->
    if
    :: settles(kind[known]) -> goto leave
    :: else -> tried = board; k = board                 /* label tried: 5.3 step 6, a line that led to nothing is dropped */
    fi;
    if                           /* 5.3 step 4: next_link = 1 is claimed without a read, else the chain is read to its end */
    :: k==1
    :: else ->
       do :: k<NK-1 && kind[k]!=EMPTY -> k++ :: else -> break od;
       if :: opens(kind[k-1]) && k<NK-1 :: else -> goto rest fi
    fi;
#else
    if                           /* 5.3 step 4: however old the line is, the last link is read, and opens the chain */
    :: kind[L(s,1)]==EMPTY -> k = 1
#ifdef M_BOARD
    :: k = 3                     /* mutant: the board is believed */
#endif
    :: opens(kind[L(s,2)]) && kind[L(s,3)]==EMPTY -> k = 3
#if NA>2
    :: opens(kind[L(s,4)]) && kind[L(s,5)]==EMPTY -> k = 5
#endif
    fi;
#endif
    best_start(3)                /* label choose: 5.3 step 5 */
  }

claim:                           /* 5.3 step 6; 5.6 step 4: the claim names where it starts */
  if
  :: atomic {
       create(L(s,k), CLAIM, me, p);
       if
       :: r==UNKNOWN -> r = 0; goto claim               /* label again: 5.1 step 3, the same bytes */
       :: r==CREATED -> r = 0
       :: r==EXISTS -> r = 0;                           /* label compare: 5.1 step 2 */
#ifdef M_EXISTS
          assert(!MINE(L(s,k),CLAIM)); goto rest        /* mutant: "exists" is taken for "lost" */
#else
          if :: MINE(L(s,k),CLAIM) :: else -> goto rest fi
#endif
       fi;
#if !defined(LIVE) && !defined(TIDY) && !defined(AGE)
       goto restore              /* nothing is deleted that a pause could matter to */
#endif
     }
  DIES
  fi;
#ifdef LIVE
held:                            /* 5.3 step 6: the heartbeat, at once; or death before it */
  if :: HEARTBEAT DIES fi;
#endif
restore:                         /* 5.6 steps 3 to 5: what cannot be read is passed over */
  atomic {
    assert(MINE(L(s,k),CLAIM));
    best_start(0);
    if
    :: p!=0 && p!=PARENT -> st = CK_R(p);
       assert(seg[A(s,base[A(s,CK_A(p))])] & BIT(1)); assert(st<R || (seg[A(s,CK_A(p))] & BIT(R)));
       base[HERE] = base[A(s,CK_A(p))]
    :: else -> base[HERE] = ATT_OF(L(s,k))
    fi;
    if :: st==R -> goto close :: else fi                /* label nothing_left: 5.6 step 6 */
  }

train:                           /* 5.4 step 2, 5.7 step 1: a unit, and its rows as a segment */
#ifdef M_DONE_FIRST
  if :: atomic { st+1==R -> goto close } :: else fi;    /* mutant: the done before the last segment */
#endif
  if
#ifdef M_SHARED_KEY
  :: atomic { WRITE(seg,A(s,0),BIT(st+1)); st++ } /* mutant: no attempt in the key */
#else
  :: atomic { WRITE(seg,HERE,BIT(st+1)); st++ }
#endif
  :: atomic { true -> goto interrupted }
  :: atomic { true -> goto failed }
  DIES
  DROPS
  fi;
#ifdef M_MANIFEST_FIRST
  goto manifest;                 /* mutant: the manifest before its files */
#endif
commit:                          /* 5.5 steps 1 and 2; a trial need not leave a checkpoint */
  if
  :: atomic { WRITE(files,HERE,BIT(st)) }
  :: atomic { true -> goto trained }
  DIES
  DROPS
  fi;
manifest:                        /* 5.4 step 3; 5.5 step 3 */
  if
  :: atomic { TRUE_KEY(HERE); put_manifest(HERE, BIT(st)); own = st;
#if !defined(TIDY) && !defined(AGE)
       forget();
#endif
#ifndef AGE
       goto trained
#endif
     }
  :: atomic { FAULT(ROOM) -> SEND(MANIFEST,HERE,me,BIT(st)); goto manifest }
  DIES
  DROPS
  fi;
#ifdef AGE
age:                             /* 5.5 step 4: a running attempt deletes its older one, with no look in between */
  if
  :: atomic { own==R && (man[HERE] & BIT(1)) ->
       gone[HERE] = gone[HERE] | BIT(1); aged[HERE] = aged[HERE] | BIT(1); man[HERE] = man[HERE] & ~BIT(1) };
     files[HERE] = files[HERE] & ~BIT(1)
  :: skip
  fi;
#endif
trained:
  atomic { if :: st<R -> goto train :: else -> goto close fi };

close:                           /* 5.7 step 3: the record is built once, and sent until the answer is definite */
  atomic {
    u = (own!=0 -> CK(ATT_OF(L(s,k)),own) : (p!=PARENT -> p : 0));
    j = (p!=0 && p!=PARENT && CK_R(p)==R -> CK_A(p) : ATT_OF(L(s,k)));
    p = base[HERE];
#ifdef M_LIST_SEGMENTS
    if :: skip :: seg[A(s,0)] & BIT(1) -> p = 0 fi;     /* mutant: names what lies there, not what led up to this */
#endif
    p = RECORD(u,p,j); u = 0; j = 0; st = 0; own = 0
  }
#ifdef M_TIDY_EARLY
  retention();                   /* mutant: before the done has won */
#endif
done:                            /* 5.7 step 4 */
#ifdef M_CHECK_THEN_ACT
  if :: kind[NEXT]==EMPTY && results[s]==0 :: else -> goto dropped fi;
  results[s]++; assert(results[s]==1); goto dropped;    /* mutant: a result under a key of its own */
#endif
  if
  :: atomic {
       create_done(NEXT, me, p);
       if
       :: r==UNKNOWN -> r = 0; goto done
       :: r==CREATED -> r = 0
       :: r==EXISTS -> r = 0; if :: MINE(NEXT,DONE) :: else -> assert(CLOSED_BY_OTHERS); goto dropped fi
       fi;
       assert(MINE(NEXT,DONE) && results[s]==1 && final[s]==p/16)
     }
  DIES
  DROPS
  fi;
#ifdef TIDY
tidy:
  retention();
#endif
  goto closed;

failed:                          /* 4 steps 5 and 6; 5.7 step 3 */
  atomic {
    j = 2; do :: j<k -> u = u+(kind[L(s,j)]==FAIL); j = j+2 :: else -> break od;
    st = (u<RETRIES -> FAIL : FAILED); u = 0; j = 0; own = 0; p = 0;
    if :: skip :: st = FAILED fi
  };
  goto ending;
interrupted:                     /* 4 step 7; 5.7 step 3; 5.9 step 3 */
  atomic { st = RELEASE; own = 0; p = 0 };
ending:
  if
  :: atomic {
       create(NEXT, st, me, 0);
       if
       :: r==UNKNOWN -> r = 0; goto ending
       :: r==CREATED -> r = 0
       :: r==EXISTS -> r = 0; if :: MINE(NEXT,st) :: else -> assert(CLOSED_BY_OTHERS); goto dropped fi
       fi
     }
  DIES
  DROPS
  fi;

  goto closed;

#ifdef LIVE
leave: skip
#endif
}

/* ---- a coordinator ---- */

#ifndef LIVE
proctype Coordinator() {         /* fences whomever it likes, stops what it likes: clocks and reasons are anything */
  byte s = NS-1, k, o;
idle:
end:
  atomic {
    if
    :: k = 0
    :: kind[L(s,1)]!=EMPTY -> k = 1
    :: kind[L(s,2)]!=EMPTY -> k = 2
    :: kind[L(s,3)]!=EMPTY -> k = 3
    :: kind[L(s,4)]!=EMPTY -> k = 4
#if NA>2
    :: kind[L(s,5)]!=EMPTY -> k = 5
    :: kind[L(s,6)]!=EMPTY -> k = 6
#endif
    fi;
    if                           /* label once_more: 5.12 step 5, 5.11 step 4; the next link is read once more */
    :: kind[NEXT]==EMPTY && kind[L(s,k)]==CLAIM -> o = FENCE
    :: kind[NEXT]==EMPTY && (kind[L(s,k)]==CLAIM || opens(kind[L(s,k)])) -> o = STOP
    :: else -> goto again
    fi;
#ifdef M_DELETE
    if :: o==FENCE -> kind[L(s,k)] = EMPTY; tok[L(s,k)] = 0; goto again :: else fi;    /* mutant: a lease broken by deletion */
#endif
    close_another(NEXT, o);      /* label race: 5.12 steps 5 and 6; a coordinator that waits before it sends is a request under way */
again:
    k = 0; o = 0;
    goto idle
  }
}
#else
/* One that does not die, for somebody always ticks. It fences claims whose author lives no more, and WRONG others. */
#define LINE (opens(kind[known]) && known/2<MAXATT -> known+1 : 0)
#define SILENT (kind[known]==CLAIM && tok[known]!=alive[0] && tok[known]!=alive[NW-1])
proctype Coordinator() {
tick:
  do
#ifdef M_NO_SWEEP
  :: atomic { news -> news = false; do :: kind[known+1]!=EMPTY -> known++ :: else -> break od }   /* mutant: heartbeats only */
#else
  :: atomic { news || kind[known+1]!=EMPTY ->            /* label sweep: 5.11 step 2 */
       news = false; do :: kind[known+1]!=EMPTY -> known++ :: else -> break od }
#endif
  :: atomic { SILENT && kind[known+1]==EMPTY -> close_another(known+1, FENCE) }    /* label silent: 5.12 steps 1 to 3 */
  :: atomic { wrong<WRONG && kind[known]==CLAIM && !(SILENT) && kind[known+1]==EMPTY -> wrong++; close_another(known+1, FENCE) }
  :: atomic { opens(kind[known]) && known/2>=MAXATT && kind[known+1]==EMPTY -> close_another(known+1, STOP) }    /* label give_up: 5.11 step 4, 4 step 7 */
  :: atomic { board!=LINE -> board = LINE }              /* label publish: 5.11 step 8 */
  :: settles(kind[known]) -> break
  od
}
#endif

init {
  byte i;
  atomic {
    kind[L(0,0)] = ISSUED;
#if NS>1                         /* the first spec is done, and the log has issued the second one, from its checkpoint */
    kind[1] = CLAIM; tok[1] = 1; kind[2] = DONE; tok[2] = 1; results[0] = 1; final[0] = CK(0,2);
    seg[0] = 3; files[0] = 3; man[0] = 3; parent = CK(0,2); kind[L(1,0)] = ISSUED;
#endif
#ifdef LIVE
    alive[0] = 1; alive[NW-1] = NW;
#endif
    do :: i<NW -> run Worker(i,i+1); i++ :: else -> break od; i = 0;
    run Coordinator()
  }
}

#ifdef LIVE
ltl settled { <> (settles(kind[known])) }
#endif
