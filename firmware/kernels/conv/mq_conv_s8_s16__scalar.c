/* Two windows in a word, four at a time; mq_conv_pairs.h has how, mq_conv.h the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_CONV mq_conv_s8_s16
#define MQ_Y(name) name##_s16
#include "mq_conv_pairs.h"
