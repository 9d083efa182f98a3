/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_fixed.h"
#include "mq_fixed_functions.h"

/* So many e are kept between the two passes; further ones are made twice. */
enum { KEPT = 64 };

static inline int32_t power(int32_t below, const mq_softmax_s16_params *p) {
    return mq_times(p->coarse[(uint32_t)below >> 8], mq_multiplier_of(p->fine[below & 255]));
}

static int32_t largest_of(const int16_t *x, const int16_t *end, uint32_t step) {
    int32_t largest = *x;
    for (; x != end; x += step) {
        const int32_t v = *x;
        largest = v > largest ? v : largest;
    }
    return largest;
}

/* sum e over the values from x to before `end`, the first of which are kept; kept_end: behind the last of these. */
static int64_t sum_of(const int16_t *x, const int16_t *end, int32_t largest, int32_t *kept, const int32_t *kept_end,
                      const mq_softmax_s16_params *p) {
    uint32_t low = 0;
    uint32_t high = 0;
    for (; kept != kept_end; x += p->inner) {
        const int32_t e = power(largest - *x, p);
        *kept++ = e;
        low += (uint32_t)e;
        high += low < (uint32_t)e;
    }
    for (; x != end; x += p->inner) {
        const uint32_t e = (uint32_t)power(largest - *x, p);
        low += e;
        high += low < e;
    }
    return (int64_t)(((uint64_t)high << 32) | low);
}

/* What brings e to y, where the shift is negative. */
typedef struct {
    mq_multiplier multiplier;
    int32_t down;
} factor;

static inline int16_t finish(int32_t e, factor f) {
    return mq_sat_s16(((mq_times(e, f.multiplier) >> f.down) + 1) >> 1);
}

/* Values `inner` apart, from x to before `end`. */
static void row(const int16_t *x, const int16_t *end, int16_t *y, const mq_softmax_s16_params *shared) {
    const mq_softmax_s16_params p = *shared; /* a copy, which y cannot overlap */
    int32_t kept[KEPT];
    const int32_t *const kept_end = kept + (p.count < KEPT ? p.count : KEPT);
    const int32_t largest = largest_of(x, end, p.inner);
    const mq_factor scale = mq_reciprocal(sum_of(x, end, largest, kept, kept_end, &p));
    const int32_t multiplier = mq_mulhr(scale.multiplier, p.y_multiplier);
    const int32_t shift = mq_clamp(scale.shift + p.y_shift, -31, 31);
    if (shift >= 0) {
        for (; x != end; x += p.inner, y += p.inner) {
            *y = mq_sat_s16(mq_requantise_up(power(largest - *x, &p), multiplier, shift));
        }
        return;
    }
    const factor f = {mq_multiplier_of(multiplier), ~shift};
    for (const int32_t *e = kept; e != kept_end; y += p.inner, x += p.inner) {
        *y = finish(*e++, f);
    }
    for (; x != end; x += p.inner, y += p.inner) {
        *y = finish(power(largest - *x, &p), f);
    }
}

void mq_softmax_s16(const int16_t *x, int16_t *y, const mq_softmax_s16_params *p) {
    const size_t block = (size_t)p->count * p->inner;
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            row(x + i, x + i + block, y + i, p);
        }
        x += block;
        y += block;
    }
}
