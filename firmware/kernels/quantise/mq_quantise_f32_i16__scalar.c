/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_quantise.h"

#include "mq_fixed.h"
#include "mq_float.h"

void mq_quantise_f32_i16(const float *x, int16_t *y, const mq_quantise_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t c = 0; c < p->channels; c++) {
            const float scale = p->scale[c];
            const int32_t zero = p->zero[c];
            for (uint32_t i = 0; i < p->inner; i++) {
                *y++ = mq_sat_s16(mq_round(*x++ / scale) + zero);
            }
        }
    }
}
