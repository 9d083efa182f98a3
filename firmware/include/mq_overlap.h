/* Where blocks overlap that are added to a stream: block n begins where the sums of those before it do.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_OVERLAP_H
#define MQ_OVERLAP_H

#include "mq_audio.h"

/* How far the sums of earlier blocks reach: over `given` outputs, and over `staying` sums that are not yet complete. */
typedef struct {
    uint32_t given;
    uint32_t staying;
} mq_overlap;

static inline mq_overlap mq_overlap_of(uint32_t kept, uint32_t hop) {
    const uint32_t given = hop < kept ? hop : kept;
    const mq_overlap overlap = {given, kept - given};
    return overlap;
}

#endif
