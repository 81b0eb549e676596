#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

/// How often this thread has asked the heap for memory since it began. Linking this makes the process count.
unsigned long allocation_count(void);

#endif
