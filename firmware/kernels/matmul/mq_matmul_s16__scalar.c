/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_matmul.h"

#include "mq_fixed.h"

/* One pair of matrices. */
static void product(const int16_t *a, const int16_t *b, int16_t *y, const mq_matmul_shape *s,
                    const mq_matmul_wide_params *p) {
    for (int32_t m = 0; m < s->rows; m++) {
        for (int32_t n = 0; n < s->columns; n++) {
            int64_t acc = 0;
            for (int32_t k = 0; k < s->depth; k++) {
                acc += (int32_t)a[k] * b[k * s->columns + n];
            }
            *y++ = mq_sat_s16(mq_requantise64(acc, p->narrow, p->multiplier, p->shift));
        }
        a += s->depth;
    }
}

void mq_matmul_s16(const int16_t *a, const int16_t *b, int16_t *y, int16_t *room, const mq_matmul_shape *s,
                   const mq_matmul_wide_params *p) {
    (void)room;
    const int32_t a_size = s->rows * s->depth;
    const int32_t b_size = s->depth * s->columns;
    for (int32_t i = 0; i < s->batch[0]; i++) {
        for (int32_t j = 0; j < s->batch[1]; j++) {
            for (int32_t l = 0; l < s->batch[2]; l++) {
                const int32_t a_at = i * s->a_step[0] + j * s->a_step[1] + l * s->a_step[2];
                const int32_t b_at = i * s->b_step[0] + j * s->b_step[1] + l * s->b_step[2];
                product(a + a_at * a_size, b + b_at * b_size, y, s, p);
                y += s->rows * s->columns;
            }
        }
    }
}
