/* Helium (M-profile vector extension, Cortex-M55 and M85): the intrinsics of the Arm C Language Extensions, or their
 * model.
 *
 * Kernels use the intrinsics by their own names, so the very source that is flashed is compiled and tested on a PC with
 * mq_mve_model.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_H
#define MQ_MVE_H

#include "mq_base.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#include "mq_mve_widen.h"
#else
#include "mq_mve_model.h"
#endif

/* MQ_NEXT: a function that loads a vector and moves the pointer behind it. */
#define MQ_NEXT(name, vector, type, load, lanes)                                                                       \
    static inline vector name(const type **p) {                                                                        \
        const vector v = load(*p);                                                                                     \
        *p += lanes;                                                                                                   \
        return v;                                                                                                      \
    }

MQ_NEXT(mq_next_s8, int8x16_t, int8_t, vldrbq_s8, 16)
MQ_NEXT(mq_next_s8_s16, int16x8_t, int8_t, vldrbq_s16, 8)
MQ_NEXT(mq_next_s16, int16x8_t, int16_t, vldrhq_s16, 8)

#endif
