/* A ring of 16-bit samples between one writer and one reader, of which either may be an interrupt.
 *
 * Nothing is locked and no atomic read-modify-write is needed, so it works on every core and in C99: `written` is
 * stored by the writer alone, `taken` by the reader alone, both are single aligned words, and each side stores its word
 * only after it is done with the samples. MQ_BARRIER keeps compiler and core from moving the samples across that store.
 * Both words count to twice the capacity and start over, so that a full ring is not taken for an empty one and every
 * sample of the buffer can be used. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_RING_H
#define MQ_RING_H

#include <stdint.h>
#include <string.h>

/* GCC and clang: a full fence, DMB on Arm. Define it for other compilers; on a single core without caches between
 * writer and reader, what keeps the compiler in order is enough. */
#if !defined(MQ_BARRIER)
#if defined(__GNUC__)
#define MQ_BARRIER() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#else
#error "define MQ_BARRIER() as a full memory barrier of this compiler"
#endif
#endif

typedef struct {
    int16_t *samples;
    uint32_t capacity;
    volatile uint32_t written;
    volatile uint32_t taken;
} mq_ring_t;

static inline void mq_ring_init(mq_ring_t *ring, int16_t *samples, uint32_t capacity) {
    ring->samples = samples;
    ring->capacity = capacity;
    ring->written = 0;
    ring->taken = 0;
}

/* Samples between two positions; positions lie in 0 .. 2 * capacity - 1. */
static inline uint32_t mq_ring_between(const mq_ring_t *ring, uint32_t taken, uint32_t written) {
    return written >= taken ? written - taken : written + 2u * ring->capacity - taken;
}

static inline uint32_t mq_ring_count(const mq_ring_t *ring) {
    return mq_ring_between(ring, ring->taken, ring->written);
}

static inline uint32_t mq_ring_advance(const mq_ring_t *ring, uint32_t position, uint32_t count) {
    const uint32_t next = position + count;
    return next >= 2u * ring->capacity ? next - 2u * ring->capacity : next;
}

/* The writer: as many samples as there is room for; returns how many. NULL writes silence. */
static inline uint32_t mq_ring_write(mq_ring_t *ring, const int16_t *samples, uint32_t count) {
    const uint32_t from = ring->written;
    const uint32_t room = ring->capacity - mq_ring_between(ring, ring->taken, from);
    const uint32_t n = count < room ? count : room;
    const uint32_t start = from >= ring->capacity ? from - ring->capacity : from;
    const uint32_t first = n < ring->capacity - start ? n : ring->capacity - start;
    MQ_BARRIER(); /* what the reader has given back is no longer read */
    if (samples) {
        memcpy(ring->samples + start, samples, first * sizeof *samples);
        memcpy(ring->samples, samples + first, (n - first) * sizeof *samples);
    } else {
        memset(ring->samples + start, 0, first * sizeof *samples);
        memset(ring->samples, 0, (n - first) * sizeof *samples);
    }
    MQ_BARRIER(); /* the samples are there before the reader may look */
    ring->written = mq_ring_advance(ring, from, n);
    return n;
}

/* The reader: as many samples as there are; returns how many. */
static inline uint32_t mq_ring_read(mq_ring_t *ring, int16_t *samples, uint32_t count) {
    const uint32_t from = ring->taken;
    const uint32_t there = mq_ring_between(ring, from, ring->written);
    const uint32_t n = count < there ? count : there;
    const uint32_t start = from >= ring->capacity ? from - ring->capacity : from;
    const uint32_t first = n < ring->capacity - start ? n : ring->capacity - start;
    MQ_BARRIER(); /* what the writer wrote before it moved `written` is seen */
    memcpy(samples, ring->samples + start, first * sizeof *samples);
    memcpy(samples + first, ring->samples, (n - first) * sizeof *samples);
    MQ_BARRIER(); /* the samples are copied before the writer may overwrite them */
    ring->taken = mq_ring_advance(ring, from, n);
    return n;
}

#endif
