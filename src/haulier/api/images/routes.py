"""The image API on one screen."""

from starlette.routing import Route

from haulier.api.images import data, records

ROUTES = [
    Route("/image", records.versions),
    Route("/image/", records.versions),
    Route("/image/versions", records.versions_again),
    Route("/image/v2/images", records.create_image, methods=["POST"]),
    Route("/image/v2/images", records.list_images, methods=["GET"]),
    Route("/image/v2/images/{image_id}", records.show_image, methods=["GET"]),
    Route("/image/v2/images/{image_id}", records.update_image, methods=["PATCH"]),
    Route("/image/v2/images/{image_id}", records.delete_image, methods=["DELETE"]),
    Route("/image/v2/images/{image_id}/file", data.upload, methods=["PUT"]),
    Route("/image/v2/images/{image_id}/file", data.download, methods=["GET"]),
    Route("/image/v2/images/{image_id}/tags/{tag}", records.add_tag, methods=["PUT"]),
    Route("/image/v2/images/{image_id}/tags/{tag}", records.remove_tag, methods=["DELETE"]),
    Route("/image/v2/schemas/image", records.show_image_schema),
    Route("/image/v2/schemas/images", records.show_images_schema),
]
