"""S3 by moto, on a loopback port that it prints; ends with its standard input.

moto answers 500 to the completion of an upload that was aborted, or whose object was deleted since;
S3 says NoSuchUpload, and so does this.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
"""

import sys

from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from moto.server import ThreadedMotoServer

complete = S3Backend.complete_multipart_upload


def complete_known(self, bucket_name, multipart_id, body):
    if multipart_id not in self.get_bucket(bucket_name).multiparts:
        raise NoSuchUpload(multipart_id)
    return complete(self, bucket_name, multipart_id, body)


S3Backend.complete_multipart_upload = complete_known
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
