/* What the masks of two values of a spectrum are read by on Helium. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_MASKED_H
#define MQ_MVE_MASKED_H

#include "mq_masked.h"
#include "mq_mve.h"

/* Where the factors of the lanes of two values (re, im) lie: one for each value, or the real parts of pairs. */
static inline uint32x4_t mq_mask_places(uint32_t complex_mask) {
    const uint32_t apart = complex_mask ? 2 : 1;
    const uint32_t places[4] = {0, 0, apart, apart};
    return vldrwq_u32(places);
}

#endif
