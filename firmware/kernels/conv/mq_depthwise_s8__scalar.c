/* mq_depthwise_pairs.h has how, mq_conv.h the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_DEPTHWISE mq_depthwise_s8
#define MQ_Y(name) name##_s8
#include "mq_depthwise_pairs.h"
