/* The passes of a complex FFT of mixed radix 2, 3, 4 and 5, for any type of values (Stockham: in natural order, from
 * one buffer into the other).
 *
 * One pass of radix r over sequences of n values, stride s (n s = the length of the transform), m = n / r:
 *
 *     y[q + s (r p + k)] = w(p, k) sum_j x[q + s (p + m j)] exp(-2 pi i j k / r)      w(p, k) = exp(-2 pi i p k / n)
 *
 * for p = 0 .. m-1, q = 0 .. s-1, k = 0 .. r-1. The next pass has n = m and stride r s. Values are pairs (re, im).
 * `w` holds w(p, k) of a pass for k = 1 .. r-1, k fastest; w(0, k) is 1 and is not multiplied. x is read from its
 * beginning to its end, at r places that are m s values apart.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FFT_PASSES_H
#define MQ_FFT_PASSES_H

#include "mq_base.h"

/* Tables of a transform of `m` complex values: those of its passes, then turns; and how many passes there are. */
#define MQ_FFT_TABLES(name, of, value, real)                                                                           \
    typedef struct {                                                                                                   \
        const value *passes;                                                                                           \
        const value *turns;                                                                                            \
        uint32_t count;                                                                                                \
    } name;                                                                                                            \
    static inline name of(const real *twiddles, const uint8_t *radices, uint32_t m) {                                  \
        name tables = {(const value *)(const void *)twiddles, 0, 0};                                                   \
        uint32_t size = 0;                                                                                             \
        for (uint32_t n = m; radices[tables.count]; tables.count++) {                                                  \
            n /= radices[tables.count];                                                                                \
            size += n * (radices[tables.count] - 1u);                                                                  \
        }                                                                                                              \
        tables.turns = tables.passes + size;                                                                           \
        return tables;                                                                                                 \
    }

/* `do` for k = 1 .. r-1. */
#define MQ_FFT_REST_2(do)                                                                                              \
    do                                                                                                                 \
    (1)
#define MQ_FFT_REST_3(do)                                                                                              \
    do                                                                                                                 \
    (1) do(2)
#define MQ_FFT_REST_4(do)                                                                                              \
    do                                                                                                                 \
    (1) do(2) do(3)
#define MQ_FFT_REST_5(do)                                                                                              \
    do                                                                                                                 \
    (1) do(2) do(3) do(4)

#define MQ_FFT_STORED(k) y[k * s] = b[k];

/* A function `name` of one pass. butterfly(x, step, b): the sums of x[0], x[step], ... as b[0], b[1], ...; `turned(k)`
 * stores b[k] w[k-1] as y[k * s]. */
#define MQ_FFT_PASS(name, value, radix, butterfly, turned)                                                             \
    static inline void name(const value *x, value *y, const value *w, uint32_t m, uint32_t s) {                        \
        const uint32_t step = m * s;                                                                                   \
        for (uint32_t q = s; q; q--, x++, y++) {                                                                       \
            value b[radix];                                                                                            \
            butterfly(x, step, b);                                                                                     \
            y[0] = b[0];                                                                                               \
            MQ_FFT_REST_##radix(MQ_FFT_STORED)                                                                         \
        }                                                                                                              \
        for (uint32_t p = m - 1; p; p--) {                                                                             \
            y += (radix - 1) * s;                                                                                      \
            w += radix - 1;                                                                                            \
            for (uint32_t q = s; q; q--, x++, y++) {                                                                   \
                value b[radix];                                                                                        \
                butterfly(x, step, b);                                                                                 \
                y[0] = b[0];                                                                                           \
                MQ_FFT_REST_##radix(turned)                                                                            \
            }                                                                                                          \
        }                                                                                                              \
    }

/* A function `name`: all passes of a transform of `length` values; `radices` ends with 0. The result of an even number
 * of passes is in x, of an odd number in y; the other is lost. */
#define MQ_FFT(name, value, pass_2, pass_3, pass_4, pass_5)                                                            \
    MQ_OUT_OF_LINE void name(value *x, value *y, const value *w, const uint8_t *radices, uint32_t length) {            \
        uint32_t s = 1;                                                                                                \
        for (uint32_t m = length; *radices; radices++) {                                                               \
            const uint32_t radix = *radices;                                                                           \
            value *const from = x;                                                                                     \
            m /= radix;                                                                                                \
            if (radix == 4) {                                                                                          \
                pass_4(x, y, w, m, s);                                                                                 \
            } else if (radix == 2) {                                                                                   \
                pass_2(x, y, w, m, s);                                                                                 \
            } else if (radix == 3) {                                                                                   \
                pass_3(x, y, w, m, s);                                                                                 \
            } else {                                                                                                   \
                pass_5(x, y, w, m, s);                                                                                 \
            }                                                                                                          \
            x = y;                                                                                                     \
            y = from;                                                                                                  \
            w += m * (radix - 1);                                                                                      \
            s *= radix;                                                                                                \
        }                                                                                                              \
    }

#endif
